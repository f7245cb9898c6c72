package sandbox

import (
	"encoding/binary"
	"encoding/hex"
	"slices"

	"golang.org/x/sys/unix"
)

// This file assembles system call filters: programs of the classic packet
// filter machine over struct seccomp_data. A filter is a binary tree over the
// system call number, because the kernel runs it once for every number there
// is when it is installed, and that happens once per program.

// An insns is a piece of filter in which every path ends in a return.
type insns []unix.SockFilter

// The places in struct seccomp_data, of a little-endian machine.
const (
	dataNr   = 0
	dataArch = 4
	dataArgs = 16
)

func insn(code uint16, k uint32) unix.SockFilter { return unix.SockFilter{Code: code, K: k} }

func load(offset uint32) unix.SockFilter {
	return insn(unix.BPF_LD|unix.BPF_W|unix.BPF_ABS, offset)
}

func give(action uint32) insns {
	return insns{insn(unix.BPF_RET|unix.BPF_K, action)}
}

func giveErrno(errno unix.Errno) insns { return give(unix.SECCOMP_RET_ERRNO | uint32(errno)) }

func allow() insns { return give(unix.SECCOMP_RET_ALLOW) }

// choose returns code that goes to yes if the accumulator compares with k by
// op (a jump of the machine), else to no.
func choose(op uint16, k uint32, yes, no insns) insns {
	code := unix.BPF_JMP | unix.BPF_K | op
	var out insns
	if len(no) <= 0xff {
		out = insns{{Code: code, Jt: uint8(len(no)), K: k}}
	} else {
		// A conditional jump reaches 255 instructions, an unconditional all.
		out = insns{{Code: code, Jt: 0, Jf: 1, K: k}, insn(unix.BPF_JMP|unix.BPF_JA, uint32(len(no)))}
	}
	return append(append(out, no...), yes...)
}

// argument returns code that loads the low word of argument i, then runs rest.
func argument(i uint32, rest insns) insns {
	return append(insns{load(dataArgs + 8*i)}, rest...)
}

// argumentHigh is argument for the high word.
func argumentHigh(i uint32, rest insns) insns {
	return append(insns{load(dataArgs + 8*i + 4)}, rest...)
}

// anySet goes to yes if the accumulator has any bit of mask.
func anySet(mask uint32, yes, no insns) insns { return choose(unix.BPF_JSET, mask, yes, no) }

// oneOf goes to yes if the accumulator is one of values.
func oneOf(values []uint32, yes, no insns) insns {
	out := no
	for _, v := range values {
		out = choose(unix.BPF_JEQ, v, yes, out)
	}
	return out
}

// A segment is a range of system call numbers, up to the next one's start, and
// what becomes of them.
type segment struct {
	start uint32
	code  insns
}

// tree returns code that finds the segment of the accumulator.
func tree(s []segment) insns {
	if len(s) == 1 {
		return s[0].code
	}
	mid := len(s) / 2
	return choose(unix.BPF_JGE, s[mid].start, tree(s[mid:]), tree(s[:mid]))
}

// x32Bit marks the calls of a second ABI of amd64, which no number in a
// filter would catch.
const x32Bit = 0x40000000

// assemble returns a filter that treats the calls of rules as they
// say, other known ones with EPERM, and those made after this was written
// with ENOSYS, so that a C library falls back to what it did before.
func assemble(rules map[uint32]insns) insns {
	return assembleOn(giveErrno(unix.EPERM), giveErrno(unix.ENOSYS), rules)
}

// assembleDelta is assemble for rules on top of another filter, which says what
// becomes of all other calls.
func assembleDelta(rules map[uint32]insns) insns { return assembleOn(allow(), allow(), rules) }

func assembleOn(refused, unknown insns, rules map[uint32]insns) insns {
	numbers := make([]uint32, 0, len(rules))
	for nr := range rules {
		numbers = append(numbers, nr)
	}
	slices.Sort(numbers)
	kill := give(unix.SECCOMP_RET_KILL_PROCESS)
	segments := []segment{{0, refused}}
	put := func(start uint32, code insns) {
		last := &segments[len(segments)-1]
		switch {
		case last.start == start:
			last.code = code
		case !slices.Equal(last.code, code):
			segments = append(segments, segment{start, code})
		}
	}
	for _, nr := range numbers {
		put(nr, rules[nr])
		put(nr+1, refused)
	}
	put(max(firstUnknown, numbers[len(numbers)-1]+1), unknown)
	put(x32Bit, kill)
	out := append(insns{load(dataNr)}, tree(merge(segments))...)
	return append(insns{load(dataArch)}, choose(unix.BPF_JEQ, auditArch, out, kill)...)
}

// merge joins neighbours that do the same.
func merge(s []segment) []segment {
	return slices.CompactFunc(s, func(a, b segment) bool { return slices.Equal(a.code, b.code) })
}

// firstUnknown is the first system call number that had no meaning when the
// lists were made (Linux 6.18).
const firstUnknown = 470

// encode returns the filter as the kernel reads it, in hex.
func (p insns) encode() string {
	out := make([]byte, 0, 8*len(p))
	for _, i := range p {
		out = binary.LittleEndian.AppendUint16(out, i.Code)
		out = append(out, i.Jt, i.Jf)
		out = binary.LittleEndian.AppendUint32(out, i.K)
	}
	return hex.EncodeToString(out)
}
