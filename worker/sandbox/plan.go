package sandbox

// A plan is all that stage 1 and the fork server need to know. Probe makes one
// per host; a slot fills in what is its own. It travels as JSON on the control
// socket: stage 1 reads it first, the fork server gets it once more.
type plan struct {
	// For stage 1.

	Namespaces bool      `json:"namespaces"` // stage 1 was started in new ones
	View       []fixture `json:"view"`       // the files to show; the rest is hidden if Namespaces
	CgroupDirs []string  `json:"cgroup_dirs"`
	Landlock   int       `json:"landlock"` // ABI version, 0 for none
	Memory     int64     `json:"memory"`
	Processes  int64     `json:"processes"` // limit on the slot's user, 0 for none
	Python     string    `json:"python"`
	FirstToDie bool      `json:"first_to_die"` // when memory runs out

	// For the fork server.

	Path       []string `json:"path"`
	Mode       string   `json:"mode"`
	Numpy      bool     `json:"numpy"`
	NullByFD   bool     `json:"null_by_descriptor"` // Filter lets no path be opened to be written, /dev/null neither
	OutputCap  int64    `json:"output_cap"`
	UID        int      `json:"uid"` // the user a program becomes, 0 to stay
	DropCaps   bool     `json:"drop_caps"`
	PIDNS      bool     `json:"pidns"`
	Filter     string   `json:"filter"`      // of programs, on top of BaseFilter: struct sock_filter array in hex, "" for none
	BaseFilter string   `json:"base_filter"` // of the fork server, which programs inherit

	NrCapset           int `json:"nr_capset"`
	NrLandlockRestrict int `json:"nr_landlock_restrict_self"`
	NrSeccomp          int `json:"nr_seccomp"`
}

// A fixture is one thing in the view: a file or directory of the host shown at
// its own path, or a symbolic link of the host's made anew.
type fixture struct {
	Path string `json:"path"`
	Dir  bool   `json:"dir,omitempty"`
	// Link is the target of a symbolic link; empty for files and directories.
	Link string `json:"link,omitempty"`
	// Device is set for device nodes, which a mount without devices disables.
	Device bool `json:"device,omitempty"`
}

// controlFD is the control socket of stage 1 and the fork server. It can have a number
// of its own because it gets it before stage 1 begins, by the start of a process: what a
// running program opens is where the kernel puts it, for the lowest numbers may
// be its runtime's.
const controlFD = 3

// none stands for a descriptor that there is not.
const none = -1
