package lcb

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// The opcodes that a pickle of one string is made of (protocol 4). A pickle is a
// program for a stack machine that can import and call anything; this reader
// knows these seven, none of which can, and refuses all others.
const (
	opProto           = 0x80 // one byte: protocol
	opFrame           = 0x95 // eight bytes: length of what follows
	opShortBinUnicode = 0x8c // one byte: length; text
	opBinUnicode      = 'X'  // four bytes: length; text
	opBinUnicode8     = 0x8d // eight bytes: length; text
	opMemoize         = 0x94
	opStop            = '.'
)

// maxProto is the newest pickle protocol there is.
const maxProto = 5

var errPickleShort = errors.New("pickle ends too early")

// unpickle returns the one string that the pickle holds, as a part of data.
func unpickle(data []byte) ([]byte, error) {
	var (
		text    []byte
		have    bool
		rest    = data
		limited = -1 // bytes that must be left over at the end of the frame; -1 outside a frame
	)
	number := func(size int) (uint64, error) {
		if len(rest) < size {
			return 0, errPickleShort
		}
		var n [8]byte
		copy(n[:], rest[:size])
		rest = rest[size:]
		return binary.LittleEndian.Uint64(n[:]), nil
	}
	for {
		if len(rest) == 0 {
			return nil, errPickleShort
		}
		if limited >= 0 && len(rest) <= limited {
			if len(rest) < limited {
				return nil, errors.New("pickle frame ends inside an instruction")
			}
			limited = -1
		}
		at, op := len(data)-len(rest), rest[0]
		rest = rest[1:]
		var size int
		switch op {
		case opProto:
			n, err := number(1)
			if err != nil {
				return nil, err
			}
			if n > maxProto {
				return nil, fmt.Errorf("pickle protocol %d, want at most %d", n, maxProto)
			}
			continue
		case opFrame:
			n, err := number(8)
			if err != nil {
				return nil, err
			}
			if n > uint64(len(rest)) {
				return nil, errPickleShort
			}
			limited = len(rest) - int(n)
			continue
		case opMemoize:
			if !have {
				return nil, fmt.Errorf("pickle memoizes nothing at byte %d", at)
			}
			continue
		case opStop:
			switch {
			case !have:
				return nil, errors.New("pickle holds no string")
			case len(rest) > 0:
				return nil, fmt.Errorf("pickle is followed by %d more bytes", len(rest))
			}
			return text, nil
		case opShortBinUnicode:
			size = 1
		case opBinUnicode:
			size = 4
		case opBinUnicode8:
			size = 8
		default:
			return nil, fmt.Errorf("pickle has opcode 0x%02x at byte %d; only one string is accepted", op, at)
		}
		if have {
			return nil, fmt.Errorf("pickle holds a second string at byte %d", at)
		}
		n, err := number(size)
		if err != nil {
			return nil, err
		}
		if n > uint64(len(rest)) {
			return nil, errPickleShort
		}
		text, rest, have = rest[:n], rest[n:], true
	}
}
