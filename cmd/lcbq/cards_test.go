package main

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/lcbq/lcbq/worker/gpu"
)

// Variables of the simulated driver's environment.
const (
	fakeCards  = "FAKE_CARDS"       // number of cards
	fakeHeld   = "FAKE_CARDS_HELD"  // file of what else holds memory: card, process and MiB on a line; process 0 is not listed
	fakeFarm   = "LCBQ_TEST_FARM"   // whose engines use the cards
	cardTotal  = 81559              // MiB
	cardIdle   = 480                // MiB in use on an idle card
	engineUses = 77000              // MiB
	cardPrefix = "GPU-simulated-00" // of the UUIDs
)

// fakeSMI plays nvidia-smi on a machine whose cards are used by the farm's engines.
func fakeSMI() {
	n, err := strconv.Atoi(os.Getenv(fakeCards)) //nolint:forbidigo // this process is not the test
	if err != nil {
		fmt.Println("NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver.") //nolint:forbidigo // this process is not the test
		os.Exit(9)                                                                                   //nolint:forbidigo // this process is not the test
	}
	holders := cardHolders(n)
	out := bufio.NewWriter(os.Stdout)
	for i := range n {
		used, pids := cardIdle, ""
		for _, h := range holders[i] {
			used += h.mib
			if h.pid != 0 {
				pids += fmt.Sprintf("%s%d, %d, %d\n", cardPrefix, i, h.pid, h.mib)
			}
		}
		switch os.Args[1] {
		case "--query-gpu=driver_version":
			fmt.Fprintln(out, "580.simulated")
		case "--query-compute-apps=gpu_uuid,pid,used_memory":
			_, _ = out.WriteString(pids)
		default:
			fmt.Fprintf(out, "%d, %s%d, Simulated H100, %d, %d, %d, %d.5, 40\n", i, cardPrefix, i, 100*min(1, len(holders[i])), cardTotal, used, 100+100*len(holders[i]))
		}
	}
	_ = out.Flush()
	os.Exit(0) //nolint:forbidigo // this process is not the test
}

// A cardHolder holds memory of a simulated card.
type cardHolder struct{ pid, mib int }

// cardHolders returns who holds memory of each card: the farm's engines, and what the file says.
func cardHolders(n int) [][]cardHolder {
	all := make([][]cardHolder, n)
	mark := fakeFarm + "=" + os.Getenv(fakeFarm) //nolint:forbidigo // this process is not the test
	files, _ := filepath.Glob("/proc/[0-9]*/environ")
	for _, file := range files {
		env, err := os.ReadFile(file)
		line, err2 := os.ReadFile(filepath.Join(filepath.Dir(file), "cmdline"))
		if err != nil || err2 != nil || !strings.Contains(string(env), mark) || !strings.Contains(string(line), "\x00--max-num-seqs\x00") {
			continue
		}
		for i := range n {
			if strings.Contains(string(env), fmt.Sprintf("CUDA_VISIBLE_DEVICES=%s%d\x00", cardPrefix, i)) {
				pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(file)))
				all[i] = append(all[i], cardHolder{pid, engineUses})
			}
		}
	}
	held, _ := os.ReadFile(os.Getenv(fakeHeld)) //nolint:forbidigo // this process is not the test
	for line := range strings.Lines(string(held)) {
		var card int
		var h cardHolder
		if k, _ := fmt.Sscan(line, &card, &h.pid, &h.mib); k == 3 && card < n {
			all[card] = append(all[card], h)
		}
	}
	return all
}

// cards gives the farm so many simulated cards and returns the environment that shows them.
// On a machine with a real driver they cannot be shown.
func (f farm) cards(t *testing.T, n int, held ...string) []string {
	t.Helper()
	if s, err := gpu.Open(t.Context(), gpu.Config{SMI: filepath.Join(f.dir, "none")}); err == nil {
		_ = s.Close() // it was only looked for
		t.Skip("this machine has NVIDIA's library: cards cannot be simulated beside it")
	}
	bin := filepath.Join(f.dir, "bin")
	exe, err := os.Executable()
	if err == nil {
		err = os.MkdirAll(bin, 0o755)
	}
	if err == nil {
		err = os.Symlink(exe, filepath.Join(bin, "nvidia-smi"))
	}
	file := filepath.Join(f.dir, "held")
	if err == nil {
		err = os.WriteFile(file, []byte(strings.Join(held, "\n")), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	return []string{"PATH=" + bin + ":" + os.Getenv("PATH"), fmt.Sprintf("%s=%d", fakeCards, n), fakeHeld + "=" + file} //nolint:forbidigo // a test's own environment
}
