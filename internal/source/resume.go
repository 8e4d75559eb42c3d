package source

import (
	"maps"
	"math"
	"slices"
	"time"
)

// begin opens the files that are to be read first: what the positions to resume from name, what came
// after them, and atPath, the file at the path, which is nil if there is none. Without any of them
// the follower stays without a current file.
func (r *follower) begin(atPath *handle) {
	files := r.locate(atPath)
	if len(files) == 0 && atPath != nil {
		r.startFresh(atPath)
		files = []*handle{atPath}
	}
	switch {
	case len(files) == 0:
	case len(files) > 1 && files[1].offset > 0: // both were being read
		r.rotated, r.current, r.pending = files[0], files[1], files[2:]
		r.rotated.quiet = time.Now()
	default:
		r.current, r.pending = files[0], files[1:]
	}
}

// startFresh makes h, the file at the path, be read from where the options say without a position.
func (r *follower) startFresh(h *handle) {
	h.restart()
	var err error
	switch {
	case r.again:
	case r.opts.Tail:
		if !r.gone {
			err = h.startAtEnd(r.opts.MaxLine)
		}
	case !r.opts.Since.IsZero() && r.opts.TimeOf != nil:
		var offset int64
		if offset, err = search(h, r.opts.Since, r.opts.TimeOf, r.opts.MaxLine); err == nil {
			err = h.startAt(offset)
		}
	}
	if err != nil {
		r.log.Warn("cannot find where to begin; the file is read from its beginning", "err", err)
		h.restart()
	}
}

// library is the path and the files beside it, ordered from the oldest to the newest, while positions
// are looked up in it.
type library struct {
	found  []sibling       // all but the one at the path, which has the index len(found)
	opened map[int]*handle // by index
	atPath *handle
}

// demand is what one position asks for: files by their index in the library, and where to go on in
// them. Files older than all of them have been read, newer ones have not.
type demand map[int]int64

func (d demand) from(i int) int64 {
	if offset, ok := d[i]; ok {
		return offset
	}
	if i > slices.Max(slices.Collect(maps.Keys(d))) {
		return 0
	}
	return math.MaxInt64
}

// locate finds the files in which the positions to resume from lie, and returns them and all newer
// ones, oldest first and each standing where the lowest of the positions wants it. It returns nothing
// if no position can be found.
func (r *follower) locate(atPath *handle) []*handle {
	if !slices.ContainsFunc(r.resume, func(p Position) bool { return p != Position{} }) {
		return nil
	}
	return r.beside(atPath, func(found []sibling) ([]*handle, bool) {
		if atPath != nil { // and may have been renamed in the meantime
			found = slices.DeleteFunc(slices.Clone(found), func(s sibling) bool { return s.id == atPath.id })
		}
		return r.locateIn(&library{found: found, opened: map[int]*handle{}, atPath: atPath})
	})
}

// locateIn does the work of locate in one state of the library. ok is false if a file changed.
func (r *follower) locateIn(lib *library) (_ []*handle, ok bool) {
	atPath, last := lib.atPath, len(lib.found)
	if atPath != nil {
		lib.opened[last] = atPath
	}
	var demands []demand
	fresh := false
	wanted := map[int]bool{}
	for _, p := range r.resume {
		d := demand{}
		for _, place := range []Place{p.place(), p.Other} {
			if i, ok := lib.find(place); ok {
				d[i], wanted[i] = place.Offset, true
				if i < last {
					for _, s := range newer(lib.found, i, r.opts.Grace) {
						wanted[slices.IndexFunc(lib.found, func(f sibling) bool { return f.path == s.path })] = true
					}
				}
			}
		}
		if len(d) > 0 {
			demands = append(demands, d)
		} else {
			fresh = true
		}
	}
	if len(demands) > 0 && atPath != nil {
		wanted[last] = true
		if fresh {
			r.startFresh(atPath)
			demands = append(demands, demand{last: atPath.offset})
		}
	}
	return lib.open(wanted, demands)
}

// open returns the files wanted where the demands want them, and closes what was opened in vain.
func (lib *library) open(wanted map[int]bool, demands []demand) (files []*handle, ok bool) {
	ok = true
	for _, i := range slices.Sorted(maps.Keys(wanted)) {
		offset := int64(math.MaxInt64)
		for _, d := range demands {
			offset = min(offset, d.from(i))
		}
		if offset == math.MaxInt64 {
			continue
		}
		h := lib.opened[i]
		if h == nil {
			var found bool
			if h, found = openSibling(lib.found[i]); !found {
				ok = false
				continue
			}
		}
		delete(lib.opened, i)
		if first := h.first; offset == 0 || !h.standAt(Place{Offset: offset, First: first}) {
			h.restart()
			ok = ok && offset == 0
		}
		files = append(files, h)
	}
	for _, h := range lib.opened {
		if h != lib.atPath {
			h.close()
		}
	}
	return files, ok
}

// find returns the index of the file that p is a place in.
func (lib *library) find(p Place) (int, bool) {
	last := len(lib.found)
	if p == (Place{}) || p.Offset < 0 || p.First == ([20]byte{}) && (p.Offset > 0 || p.Inode == 0) {
		return 0, false
	}
	if h := lib.atPath; h != nil && (p.Inode == 0 || p.Inode == h.id.ino) && is(h, p) {
		return last, true
	}
	for i, s := range lib.found {
		if s.id.ino == p.Inode && lib.try(i, p) {
			return i, true
		}
	}
	if p.First == ([20]byte{}) {
		return 0, false
	}
	// The file at the path was perhaps copied and truncated, and the rest is in the copy.
	tried := 0
	for i, s := range slices.Backward(lib.found) {
		if s.kind == unrelated || tried == maxCopies {
			break
		}
		if tried++; lib.try(i, p) {
			return i, true
		}
	}
	return 0, false
}

// try opens the file with index i and reports whether p is a place in it.
func (lib *library) try(i int, p Place) bool {
	h := lib.opened[i]
	if h == nil {
		var ok bool
		if h, ok = openSibling(lib.found[i]); !ok {
			return false
		}
		lib.opened[i] = h
	}
	return is(h, p)
}

// is reports whether p is a place in the file of h. Of a file that had no whole line yet, only the
// inode is known.
func is(h *handle, p Place) bool {
	if p.First == ([20]byte{}) {
		return h.id == fileID{p.Device, p.Inode}
	}
	return h.standAt(p)
}
