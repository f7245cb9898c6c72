// Package sandbox runs one untrusted Python program under limits. It knows
// nothing of verdicts, of queues, or of what a program should have printed:
// its caller is given each test's output and says whether to go on.
//
// A binary that uses the package must call Main first thing in its main
// function, and a test binary in TestMain: fork servers are started from the
// binary itself.
//
// # Who is who
//
//	this process          holds the clocks, decides, kills
//	 └ stage 1            this binary again: makes the namespaces, the view of
//	    │                 the files, the limits, then becomes
//	    └ fork server     zygote.py: trusted, one thread, modules and the
//	       │              question's inputs loaded; one per slot and flavour
//	       └ program      one process per program, confined before the first
//	                      byte of its source is read
//
// A program has four descriptors: nothing to read, nowhere to write, and a
// socket to this process, its own and new for each program, on which it is
// asked for each test and answers. So all that a program can forge is an
// answer, and what the right answer is nobody in the sandbox knows. The fork
// server never reads what a program wrote.
//
// # What holds a program
//
// Every layer that the host gives; Level says which, Host.Layers why not the
// others. At all levels: no_new_privs, no capabilities, landlock (read the
// interpreter's files and nothing else; from ABI 6 no signal to others), a
// system call allow-list that answers EPERM (no process, no socket, no write, no
// execution, no signal), limits on memory, descriptors and files, an empty
// environment, the kernel's order to die with the fork server, which has the
// order to die with this process. At B a user of its own per slot. At A
// namespaces: an empty network, a file system of the interpreter's files only,
// its own process tree, and control groups where they can be made.
// Probe proves a level by a program that tries to get out.
//
// # How time is judged
//
// By the processor time of the whole process per test, read from the kernel's
// clock of that process, so that a loaded machine does not change a verdict; and
// for sleepers by how long it was found asleep. Elapsed time alone never
// condemns a program: beyond Limits.Hard Run returns ErrOverloaded, and where the
// kernel says that the program stood ready all the while, beyond five times that. The clocks are
// looked at by time, whatever a program sends meanwhile. One that waits in the
// kernel beyond the reach of a signal is charged with it when it does so twice: the
// first time a slow disk may be to blame.
//
// # Who is to blame
//
// What comes from a program's process is the harness's word only if the harness
// could have said it at that moment; anything else is the program's failure. A
// program that was killed and nobody knows why, that had the most memory when it ran
// out, or that found no thread left beside others, gets no verdict: Run returns
// ErrAlone, and decides when it is run with no other program of the Host.
//
// # What passes from one program to the next
//
// Nothing that a program writes. But programs read the same files, and how long a
// read takes says whether somebody has read them before. No program can take a
// file out of the page cache again (no fadvise, no paging out, no preadv2 that
// asks what is there), so that such a mark is made once and read by all who come
// after, until the kernel needs the memory. The same holds for names that are
// looked up and do not exist. What a program can learn to mark is whether it was
// asked for another test, and so whether its last answer was right: a family of
// texts made for each other could find a yes or a no this way, at a bit or two a
// verdict. Nothing here prevents that: to have nothing cold, all that an interpreter
// may load would have to stay in memory, and names that do not exist have no end.
package sandbox
