package store

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"math/bits"
	"unicode"
	"unicode/utf8"
)

// What is known of bbolt's file: https://pkg.go.dev/go.etcd.io/bbolt (the format is fixed by its
// version number, which is part of what is checked). Numbers are in the machine's byte order.
const (
	boltMagic   = 0xED0CDAED
	boltVersion = 2

	pageHeader    = 16 // id 8, flags 2, count 2, overflow 4
	metaSize      = 64 // magic 4, version 4, page size 4, flags 4, root 16, free list 8, pages 8, transaction 8, checksum 8
	elementSize   = 16 // of a branch: position 4, key 4, page 8; of a leaf: flags 4, position 4, key 4, value 4
	bucketHeader  = 16 // root page 8, sequence 8
	bucketFlag    = 1
	noFreeList    = ^uint64(0)
	firstTreePage = 2

	leastPageSize, mostPageSize = 1 << 10, 1 << 24 // of those that bbolt knows how to find

	// mostDepth is deeper than any tree in a file of this planet: a page has at least two children.
	mostDepth = 64
)

// The kinds of pages.
const (
	pageBranch   = 0x01
	pageLeaf     = 0x02
	pageFreeList = 0x10
)

// verify reads every page that the file's tree reaches and reports the first damage. It is done before
// bbolt sees the file, since bbolt trusts what it reads: it follows page numbers wherever they lead, and
// ends the process where one is impossible. size is the file's; used is how much of it is.
func verify(r io.ReaderAt, size int64) (used int64, err error) {
	m, err := newestMeta(r, size)
	if err != nil {
		return 0, err
	}
	if most := uint64(size) / m.pageSize; m.pages > most {
		return 0, fmt.Errorf("the file is cut short: %d of %d pages are there", most, m.pages)
	}
	v := verifier{r: r, pageSize: m.pageSize, pages: m.pages, seen: make([]uint64, m.pages/64+1)}
	if err := v.tree(m.root, nil, nil, 0); err != nil {
		return 0, err
	}
	for _, word := range v.seen {
		used += int64(bits.OnesCount64(word)) * int64(m.pageSize)
	}
	if m.freeList == noFreeList {
		return used, nil
	}
	return used, v.freeList(m.freeList)
}

type meta struct {
	pageSize, root, freeList, pages, transaction uint64
}

// newestMeta finds the newer of the two descriptions that a file begins with. One of them may be damaged:
// that is a commit that did not come to its end.
func newestMeta(r io.ReaderAt, size int64) (meta, error) {
	newest, found := meta{}, false
	consider := func(at int64) {
		b := make([]byte, pageHeader+metaSize)
		if at+int64(len(b)) > size {
			return
		}
		if _, err := r.ReadAt(b, at); err != nil {
			return
		}
		if m, ok := parseMeta(b[pageHeader:]); ok && (!found || m.transaction > newest.transaction) {
			newest, found = m, true
		}
	}
	consider(0)
	if found {
		consider(int64(newest.pageSize))
		return newest, nil
	}
	for at := int64(leastPageSize); at <= mostPageSize && !found; at *= 2 {
		consider(at)
	}
	if !found {
		return meta{}, errors.New("neither of its two descriptions is whole")
	}
	return newest, nil
}

func parseMeta(b []byte) (meta, bool) {
	e := binary.NativeEndian
	sum := fnv.New64a()
	sum.Write(b[:metaSize-8])
	m := meta{
		pageSize: uint64(e.Uint32(b[8:])), root: e.Uint64(b[16:]), freeList: e.Uint64(b[32:]),
		pages: e.Uint64(b[40:]), transaction: e.Uint64(b[48:]),
	}
	ok := e.Uint32(b) == boltMagic && e.Uint32(b[4:]) == boltVersion && e.Uint64(b[56:]) == sum.Sum64() &&
		bits.OnesCount64(m.pageSize) == 1 && m.pageSize >= leastPageSize && m.pageSize <= mostPageSize
	return m, ok
}

// verifier walks the tree of a file.
type verifier struct {
	r        io.ReaderAt
	pageSize uint64
	pages    uint64   // in use, with those that are free again
	seen     []uint64 // a bit per page that something refers to
}

// mark notes that a page is referred to, and reports whether it was the first time.
func (v *verifier) mark(id uint64) bool {
	word, bit := &v.seen[id/64], uint64(1)<<(id%64)
	if *word&bit != 0 {
		return false
	}
	*word |= bit
	return true
}

// page reads a page with what overflows from it into the next ones.
func (v *verifier) page(id uint64) (flags uint16, b []byte, err error) {
	if id < firstTreePage || id >= v.pages {
		return 0, nil, fmt.Errorf("a reference to page %d of %d", id, v.pages)
	}
	var head [pageHeader]byte
	if _, err := v.r.ReadAt(head[:], int64(id*v.pageSize)); err != nil {
		return 0, nil, fmt.Errorf("page %d: %w", id, err)
	}
	overflow := uint64(binary.NativeEndian.Uint32(head[12:]))
	if at := binary.NativeEndian.Uint64(head[:]); at != id || overflow >= v.pages-id {
		return 0, nil, fmt.Errorf("page %d says that it is page %d with %d more", id, at, overflow)
	}
	for n := id; n <= id+overflow; n++ {
		if !v.mark(n) {
			return 0, nil, fmt.Errorf("page %d is in use twice", n)
		}
	}
	b = make([]byte, (overflow+1)*v.pageSize)
	if _, err := v.r.ReadAt(b, int64(id*v.pageSize)); err != nil {
		return 0, nil, fmt.Errorf("page %d: %w", id, err)
	}
	return binary.NativeEndian.Uint16(b[8:]), b, nil
}

// tree verifies a page and all below. Its keys must lie in [low, high); nil is no bound.
func (v *verifier) tree(id uint64, low, high []byte, depth int) error {
	if depth > mostDepth {
		return fmt.Errorf("page %d: the tree is too deep", id)
	}
	flags, b, err := v.page(id)
	if err != nil {
		return err
	}
	switch flags {
	case pageBranch:
		return v.branch(id, b, low, high, depth)
	case pageLeaf:
		return v.leaf(id, b, low, high, depth)
	}
	return fmt.Errorf("page %d is of unknown kind %#x", id, flags)
}

func (v *verifier) branch(id uint64, b, low, high []byte, depth int) error {
	elements, err := parseElements(b, true)
	if err != nil {
		return fmt.Errorf("page %d: %w", id, err)
	}
	if len(elements) == 0 {
		return fmt.Errorf("page %d: a branch without children", id)
	}
	if err := ordered(elements, low, high); err != nil {
		return fmt.Errorf("page %d: %w", id, err)
	}
	for i, e := range elements {
		next := high
		if i+1 < len(elements) {
			next = elements[i+1].key
		}
		if err := v.tree(e.page, e.key, next, depth+1); err != nil {
			return err
		}
	}
	return nil
}

func (v *verifier) leaf(id uint64, b, low, high []byte, depth int) error {
	elements, err := parseElements(b, false)
	if err != nil {
		return fmt.Errorf("page %d: %w", id, err)
	}
	if err := ordered(elements, low, high); err != nil {
		return fmt.Errorf("page %d: %w", id, err)
	}
	for _, e := range elements {
		if !e.bucket {
			continue
		}
		if err := v.bucket(e.value, depth); err != nil {
			return fmt.Errorf("page %d, bucket %q: %w", id, e.key, err)
		}
	}
	return nil
}

// bucket verifies a bucket: one that is small is a leaf within the value that names it.
func (v *verifier) bucket(value []byte, depth int) error {
	if len(value) < bucketHeader {
		return errors.New("cut short")
	}
	if root := binary.NativeEndian.Uint64(value); root != 0 {
		return v.tree(root, nil, nil, depth+1)
	}
	b := value[bucketHeader:]
	if len(b) < pageHeader {
		return errors.New("cut short")
	}
	if flags := binary.NativeEndian.Uint16(b[8:]); flags != pageLeaf {
		return fmt.Errorf("of unknown kind %#x", flags)
	}
	elements, err := parseElements(b, false)
	if err != nil {
		return err
	}
	for _, e := range elements {
		if e.bucket {
			return errors.New("a small bucket that holds a bucket")
		}
	}
	return ordered(elements, nil, nil)
}

// freeList verifies the list of free pages: none of them may be in use.
func (v *verifier) freeList(id uint64) error {
	flags, b, err := v.page(id)
	if err != nil {
		return fmt.Errorf("the list of free pages: %w", err)
	}
	if flags != pageFreeList {
		return fmt.Errorf("page %d is of kind %#x and should be the list of free pages", id, flags)
	}
	list, count := b[pageHeader:], uint64(binary.NativeEndian.Uint16(b[10:]))
	if count == 0xFFFF { // too many for the header: the first number is the count
		count, list = binary.NativeEndian.Uint64(list), list[8:]
	}
	if count > uint64(len(list)/8) {
		return fmt.Errorf("page %d: %d free pages on it have no room there", id, count)
	}
	for ; count > 0; count, list = count-1, list[8:] {
		if free := binary.NativeEndian.Uint64(list); free < firstTreePage || free >= v.pages || !v.mark(free) {
			return fmt.Errorf("page %d is free and in use", free)
		}
	}
	return nil
}

// element is an entry of a page.
type element struct {
	key    []byte
	page   uint64 // of a branch: where the keys from this one on are
	value  []byte // of a leaf
	bucket bool   // of a leaf: the value is a bucket
}

func parseElements(b []byte, branch bool) ([]element, error) {
	e := binary.NativeEndian
	count := int(e.Uint16(b[10:]))
	if count > (len(b)-pageHeader)/elementSize {
		return nil, fmt.Errorf("%d entries on it have no room there", count)
	}
	elements := make([]element, count)
	for i := range elements {
		at := pageHeader + i*elementSize
		x := b[at:]
		var position, keySize, valueSize uint64
		if branch {
			position, keySize, elements[i].page = uint64(e.Uint32(x)), uint64(e.Uint32(x[4:])), e.Uint64(x[8:])
		} else {
			elements[i].bucket = e.Uint32(x)&bucketFlag != 0
			position, keySize, valueSize = uint64(e.Uint32(x[4:])), uint64(e.Uint32(x[8:])), uint64(e.Uint32(x[12:]))
		}
		if position+keySize+valueSize > uint64(len(x)) {
			return nil, fmt.Errorf("entry %d of %d leads out of the page", i, count)
		}
		elements[i].key = x[position : position+keySize]
		elements[i].value = x[position+keySize : position+keySize+valueSize]
	}
	return elements, nil
}

// ordered reports keys that are empty, not in order, or not in [low, high).
func ordered(elements []element, low, high []byte) error {
	for i, e := range elements {
		if len(e.key) == 0 || i == 0 && bytes.Compare(e.key, low) < 0 ||
			i > 0 && bytes.Compare(e.key, elements[i-1].key) <= 0 ||
			high != nil && bytes.Compare(e.key, high) >= 0 {
			return fmt.Errorf("key %.60q is out of order", e.key)
		}
	}
	return nil
}

// foreign says what a file is that is no database of ours, damaged or not; empty if it may be one. Such
// a file is somebody else's, and must not be moved out of their way.
func foreign(r io.ReaderAt) string {
	head := make([]byte, 512)
	n, _ := r.ReadAt(head, 0) // what cannot be read is for verify to report
	head = head[:n]
	switch {
	case n == 0:
		return ""
	case bytes.HasPrefix(head, []byte("SQLite format 3\x00")):
		return "an SQLite database, as fail2ban's is"
	case isText(head, n == 512):
		return "a text file"
	}
	return ""
}

// isText reports whether bytes are text; cut tells that they may end within a letter.
func isText(b []byte, cut bool) bool {
	for len(b) > 0 {
		r, size := utf8.DecodeRune(b)
		switch {
		case r == utf8.RuneError && size <= 1:
			return cut && !utf8.FullRune(b)
		case unicode.IsControl(r) && r != '\n' && r != '\r' && r != '\t':
			return false
		}
		b = b[size:]
	}
	return true
}
