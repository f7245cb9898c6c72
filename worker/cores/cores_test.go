package cores

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"testing"
)

// machine writes a topology in which the processors of each core are listed in the
// kernel's form.
func machine(t *testing.T, quota int, cpus []int, siblings ...string) Machine {
	t.Helper()
	m := Machine{CPUs: cpus, Quota: quota, Topology: t.TempDir()}
	for _, list := range siblings {
		core, err := parseList(list)
		if err != nil {
			t.Fatal(err)
		}
		for _, cpu := range core {
			dir := filepath.Join(m.Topology, fmt.Sprintf("cpu%d", cpu), "topology")
			if err := os.MkdirAll(dir, 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(dir, "thread_siblings_list"), []byte(list+"\n"), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	return m
}

func upTo(n int) []int {
	var all []int
	for cpu := range n {
		all = append(all, cpu)
	}
	return all
}

func TestLeave(t *testing.T) {
	t.Parallel()
	plain := machine(t, 8, upTo(8))
	hyper := machine(t, 8, upTo(8), "0,4", "1,5", "2,6", "3,7")
	for _, c := range []struct {
		name    string
		machine Machine
		n, most int
		want    Share
	}{
		{"nothing", plain, 0, 4, Share{Slots: 8}},
		{"some", plain, 2, 4, Share{CPUs: []int{2, 3, 4, 5, 6, 7}, Slots: 6, Left: 2}},
		{"no more than most", plain, 6, 4, Share{CPUs: []int{4, 5, 6, 7}, Slots: 4, Left: 4}},
		{"whole cores", hyper, 4, 4, Share{CPUs: []int{2, 3, 6, 7}, Slots: 4, Left: 4}},
		{"a whole core for half of one", hyper, 3, 4, Share{CPUs: []int{2, 3, 6, 7}, Slots: 4, Left: 4}},
		{"half a core at the end", hyper, 4, 3, Share{CPUs: []int{2, 3, 5, 6, 7}, Slots: 5, Left: 3}},
		{"nothing allowed", hyper, 4, 0, Share{Slots: 8}},
		{"only what may be used", machine(t, 3, []int{1, 4, 5}, "0,4", "1,5"), 2, 2, Share{CPUs: []int{4}, Slots: 1, Left: 2}},
		{"a quota", machine(t, 4, upTo(8)), 2, 2, Share{CPUs: []int{2, 3, 4, 5, 6, 7}, Slots: 2, Left: 2}},
		{"a quota below what is left", machine(t, 1, upTo(8)), 4, 4, Share{CPUs: []int{4, 5, 6, 7}, Slots: 1, Left: 4}},
		{"one processor", machine(t, 1, upTo(1)), 4, 0, Share{Slots: 1}},
		{"cores listed as ranges", machine(t, 4, upTo(4), "0-1", "2-3"), 1, 2, Share{CPUs: []int{2, 3}, Slots: 2, Left: 2}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if got := c.machine.Leave(c.n, c.most); !reflect.DeepEqual(got, c.want) {
				t.Errorf("Leave(%d, %d) = %+v, want %+v", c.n, c.most, got, c.want)
			}
		})
	}
}

// A kernel that lists nonsense is taken for one that lists nothing.
func TestTopologyOfNonsense(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"", "x", "3-1", "-1", "0-99999999", "2,3", "0,"} {
		m := machine(t, 4, upTo(4), "0")
		if err := os.WriteFile(filepath.Join(m.Topology, "cpu0", "topology", "thread_siblings_list"), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if got := m.core(0); !slices.Equal(got, []int{0}) {
			t.Errorf("core of %q = %v, want 0 alone", text, got)
		}
	}
}

func TestHere(t *testing.T) {
	t.Parallel()
	m, err := Here()
	if err != nil {
		t.Fatal(err)
	}
	if len(m.CPUs) == 0 || !slices.IsSorted(m.CPUs) || m.Quota < 1 || m.Quota > len(m.CPUs) {
		t.Errorf("Here = %+v, want processors in order and a quota among them", m)
	}
	for _, cpu := range m.CPUs {
		if core := m.core(cpu); !slices.Contains(core, cpu) {
			t.Errorf("core of %d = %v, without itself", cpu, core)
		}
	}
}
