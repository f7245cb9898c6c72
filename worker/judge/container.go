package judge

// list appends the next value, a list, and returns the tag that it got: one of
// the short forms, where the harness would take it.
func (p *parser) list() (byte, error) {
	start := p.head(tagList)
	n, only := 0, byte(0) // only is the one tag of all items, or a 0
	err := p.r.Array(func(i int) error {
		tag, err := p.value()
		if i == 0 {
			only = tag
		} else if only != tag {
			only = 0
		}
		n++
		return err
	})
	if err != nil {
		return 0, err
	}
	order.PutUint32(p.out[start:], uint32(n))
	if n < 2 {
		return tagList, nil
	}
	switch only {
	case tagInt:
		p.compact(start, tagInts)
	case tagFloat:
		p.compact(start, tagFloats)
	case tagString:
		p.compactStrings(start, n)
	}
	return p.out[start-1], nil
}

// compact drops the tags of items of eight bytes each.
func (p *parser) compact(start int, tag byte) {
	p.out[start-1] = tag
	to := start + 4
	for from := to; from < len(p.out); from += 9 {
		copy(p.out[to:], p.out[from+1:from+9])
		to += 8
	}
	p.out = p.out[:to]
}

// compactStrings puts the lengths of n strings in front and their texts
// together, if all is ASCII.
func (p *parser) compactStrings(start, n int) {
	items := p.out[start+4:]
	r := reader{b: items}
	for r.at < len(items) {
		r.at++
		for _, c := range r.block() {
			if c >= 0x80 {
				return
			}
		}
	}
	packed := make([]byte, 0, len(items)-n) // a tag less for each
	for r.at = 0; r.at < len(items); {
		r.at++
		packed = order.AppendUint32(packed, uint32(len(r.block())))
	}
	for r.at = 0; r.at < len(items); {
		r.at++
		packed = append(packed, r.block()...)
	}
	p.out[start-1] = tagStrings
	p.out = append(p.out[:start+4], packed...)
}

// entry is where a key of an object and its value lie in the parser's output.
type entry struct{ key, value, end int }

// object appends the next value, a dict.
func (p *parser) object() error {
	start := p.head(tagDict)
	var entries []entry
	index := map[string]int{}
	again := false // a key came twice
	err := p.r.Object(func(key string) error {
		e := entry{key: len(p.out)}
		at := p.head(tagString)
		p.out = append(p.out, key...)
		order.PutUint32(p.out[at:], uint32(len(key)))
		e.value = len(p.out)
		if _, err := p.value(); err != nil {
			return err
		}
		e.end = len(p.out)
		if i, ok := index[key]; ok {
			again = true
			entries[i].value, entries[i].end = e.value, e.end
		} else {
			index[key] = len(entries)
			entries = append(entries, e)
		}
		return nil
	})
	if err != nil {
		return err
	}
	if again {
		p.rebuild(start+4, entries)
	}
	order.PutUint32(p.out[start:], uint32(len(entries)))
	return nil
}

// rebuild leaves of the output from start on only what entries point to.
func (p *parser) rebuild(start int, entries []entry) {
	var kept []byte
	for _, e := range entries {
		// The key's first place, which is also the dict's order, keeps its text.
		r := reader{p.out, e.key}
		r.skip()
		kept = append(append(kept, p.out[e.key:r.at]...), p.out[e.value:e.end]...)
	}
	p.out = append(p.out[:start], kept...)
}
