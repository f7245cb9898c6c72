package sandbox

import (
	"fmt"
	"strings"
	"sync"
)

// A said keeps what a process printed: all of it, or the beginning and the end of
// more than that.
type said struct {
	mu   sync.Mutex
	head []byte
	tail []byte
	lost int // bytes between the two
}

// saidSize is what is kept of the beginning, and again of the end.
const saidSize = 8 << 10

func (t *said) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := min(len(p), saidSize-len(t.head))
	t.head = append(t.head, p[:n]...)
	t.tail = append(t.tail, p[n:]...)
	if over := len(t.tail) - saidSize; over > 0 {
		t.tail = append(t.tail[:0], t.tail[over:]...)
		t.lost += over
	}
	return len(p), nil
}

// all returns what was printed, without the white space around it.
func (t *said) all() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.lost == 0 {
		return strings.TrimSpace(string(t.head) + string(t.tail))
	}
	return strings.TrimSpace(fmt.Sprintf("%s\n[%d bytes left out]\n%s", t.head, t.lost, t.tail))
}
