package judge

// list appends a list whose opening bracket was consumed, and returns the tag
// that it got: one of the short forms, where the harness would take it.
func (p *parser) list(depth int) (byte, error) {
	if depth >= maxNesting {
		return 0, errNesting
	}
	start := p.head(tagList)
	n, only := 0, byte(0) // only is the one tag of all items, or a 0
	p.space()
	if p.next(']') {
		return tagList, nil
	}
	for {
		tag, err := p.value(depth + 1)
		if err != nil {
			return 0, err
		}
		if n == 0 {
			only = tag
		} else if only != tag {
			only = 0
		}
		n++
		p.space()
		if p.next(']') {
			break
		}
		if !p.next(',') {
			return 0, errPunctuation
		}
		p.space()
	}
	order.PutUint32(p.out[start:], uint32(n))
	if n == 1 {
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

// object appends a dict whose opening brace was consumed.
func (p *parser) object(depth int) error {
	if depth >= maxNesting {
		return errNesting
	}
	start := p.head(tagDict)
	p.space()
	if p.next('}') {
		return nil
	}
	var entries []entry
	index := map[string]int{}
	again := false // a key came twice
	for {
		e := entry{key: len(p.out)}
		if p.at == len(p.s) || p.s[p.at] != '"' {
			return errPunctuation
		}
		if _, err := p.value(depth + 1); err != nil {
			return err
		}
		p.space()
		if !p.next(':') {
			return errPunctuation
		}
		p.space()
		e.value = len(p.out)
		if _, err := p.value(depth + 1); err != nil {
			return err
		}
		e.end = len(p.out)
		key := string(p.out[e.key:e.value])
		if i, ok := index[key]; ok {
			again = true
			entries[i].value, entries[i].end = e.value, e.end
		} else {
			index[key] = len(entries)
			entries = append(entries, e)
		}
		p.space()
		if p.next('}') {
			break
		}
		if !p.next(',') {
			return errPunctuation
		}
		p.space()
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
