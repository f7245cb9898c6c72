package openai

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// mostBody bounds what one answer may take of our memory: 32 choices of a
// hundred thousand tokens fit ten times.
const mostBody = 256 << 20

// errIdle ends an attempt whose stream went silent.
var errIdle = errors.New("the stream was silent for too long")

// readWhole reads an answer that comes in one piece. Its choices are in order.
func readWhole(r io.Reader) ([]*draft, *usage, error) {
	raw, err := io.ReadAll(io.LimitReader(r, mostBody+1))
	if err != nil {
		f := ofTransport(fmt.Errorf("read answer: %w", err))
		f.cause = cutOff
		return nil, nil, f
	}
	if len(raw) > mostBody {
		return nil, nil, &fault{kind: broken, cause: unreadable, err: fmt.Errorf("the answer is larger than %d MiB", mostBody>>20)}
	}
	var a answer
	if err := json.Unmarshal(standard(raw), &a); err != nil {
		return nil, nil, &fault{kind: broken, cause: unreadable, err: fmt.Errorf("decode answer %q: %w", message(raw), err)}
	}
	if err := a.failure(raw); err != nil {
		return nil, nil, err
	}
	all := make([]*draft, 0, len(a.Choices))
	for _, c := range a.Choices {
		d := &draft{}
		d.add(c)
		d.model = a.Model
		all = append(all, d)
	}
	return all, a.Usage, nil
}

// readStream reads an answer of server-sent events: pieces of its choices in
// any order, told apart by their index, and [DONE] at the end. A stream without
// that end, or with a choice that has none, is no answer.
func readStream(r io.Reader, n int, alive func()) ([]*draft, *usage, error) {
	var (
		drafts = make([]*draft, n)
		use    *usage
		b      = bufio.NewReaderSize(r, 32<<10)
		total  = 0
	)
	for {
		line, err := readLine(b, mostBody-total)
		if err != nil {
			if errors.Is(err, io.EOF) {
				err = errors.New("the stream ends before [DONE]")
			}
			f := ofTransport(fmt.Errorf("read stream: %w", err))
			f.cause = cutOff
			return nil, nil, f
		}
		alive()
		total += len(line)
		data, ok := bytes.CutPrefix(bytes.TrimSpace(line), []byte("data:"))
		if !ok { // a comment, an event name, the blank line between events
			continue
		}
		data = bytes.TrimSpace(data)
		if string(data) == "[DONE]" {
			break
		}
		if len(data) == 0 {
			continue
		}
		var a answer
		if err := json.Unmarshal(standard(data), &a); err != nil {
			return nil, nil, &fault{kind: broken, cause: unreadable, err: fmt.Errorf("decode stream event %q: %w", message(data), err)}
		}
		if err := a.failure(data); err != nil {
			return nil, nil, err
		}
		if a.Usage != nil {
			use = a.Usage
		}
		for _, c := range a.Choices {
			if c.Index < 0 || c.Index >= n {
				return nil, nil, &fault{kind: broken, cause: unreadable, err: fmt.Errorf("the stream holds choice %d, asked for %d choices", c.Index, n)}
			}
			if drafts[c.Index] == nil {
				drafts[c.Index] = &draft{}
			}
			if !drafts[c.Index].add(c) {
				return nil, nil, &fault{kind: broken, cause: unreadable, err: fmt.Errorf("the stream holds more of choice %d after its end", c.Index)}
			}
			drafts[c.Index].model = cmp.Or(a.Model, drafts[c.Index].model)
		}
	}
	begun := drafts[:0]
	for i, d := range drafts {
		switch {
		case d == nil: // fewer than asked for: the rest is asked for again
		case !d.finished:
			return nil, nil, &fault{kind: broken, cause: cutOff, err: fmt.Errorf("the stream ends within choice %d", i)}
		default:
			begun = append(begun, d)
		}
	}
	return begun, use, nil
}

// readLine returns the next line of at most limit bytes.
func readLine(b *bufio.Reader, limit int) ([]byte, error) {
	var line []byte
	for {
		part, err := b.ReadSlice('\n')
		if len(line)+len(part) > limit {
			return nil, fmt.Errorf("the stream is larger than %d MiB", mostBody>>20)
		}
		if line == nil && err == nil {
			return part, nil
		}
		line = append(line, part...)
		if !errors.Is(err, bufio.ErrBufferFull) {
			return line, err
		}
	}
}
