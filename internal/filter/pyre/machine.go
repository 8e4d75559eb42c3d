package pyre

import "unicode/utf8"

// Budgets of one search, in steps: an instruction, or a few characters of a run.
const (
	// plainSteps is what a search may take before it begins again and remembers where it failed. Honest
	// lines take some hundreds.
	plainSteps = 20_000
	// DefaultSteps is the most that a search may take. A step is some nanoseconds.
	DefaultSteps = 1_500_000
	// maxMemo is how many bits of memory there are for where it failed: 8 MB.
	maxMemo = 1 << 26
	// maxBack is how many places to go back to there may be.
	maxBack = 1 << 20
	// runSteps is how many characters of a run count as a step.
	runSteps = 8
)

// What a frame is there for.
const (
	fTry  uint8 = iota // go on at pc with pos
	fSlot              // slot pc was pos
	fReg               // register pc was pos
	fGive              // a greedy run at pc can give back, down to low
	fTake              // a lazy run at pc can take one more, up to low
)

// frame is a place to go back to, or something to undo on the way.
type frame struct {
	kind uint8
	pc   int32
	pos  int32
	low  int32
}

// machine runs programs. It belongs to one goroutine.
type machine struct {
	p     *program
	runes []rune
	slots []int32
	regs  []int32
	back  []frame

	memo     []uint64 // bits: instruction, condition and place
	stride   int
	remember bool

	steps, most int
	over        bool // the budget is spent
}

// search looks for the first match from a position on. The groups are in slots.
func (m *machine) search(p *program, runes []rune, from, most int) (found, over bool) {
	m.p, m.runes, m.over, m.steps = p, runes, false, 0
	if cap(m.slots) < p.slots {
		m.slots = make([]int32, p.slots)
	}
	if cap(m.regs) < p.regs {
		m.regs = make([]int32, p.regs)
	}
	m.slots, m.regs = m.slots[:p.slots], m.regs[:p.regs]
	m.remember, m.most = false, most
	if p.memos > 0 && m.fits() {
		m.most = min(plainSteps, most)
	}
	found = m.scan(from)
	if !m.over || m.most == most {
		m.shrink()
		return found, m.over
	}
	m.over, m.most, m.remember = false, most, true
	m.clearMemo()
	found = m.scan(from)
	m.shrink()
	return found, m.over
}

// What a machine keeps for its next search: few lines need more, and there are many machines.
const (
	keptMemo = 8 << 10 // words: 64 KiB
	keptBack = 8 << 10 // frames: 128 KiB
)

// shrink gives back what a hostile line has made of a machine.
func (m *machine) shrink() {
	if cap(m.memo) > keptMemo {
		m.memo = nil
	}
	if cap(m.back) > keptBack {
		m.back = nil
	}
}

// fits reports whether there is memory for where the program failed.
func (m *machine) fits() bool {
	m.stride = len(m.runes) + 1
	return m.p.memos<<len(m.p.tested)*m.stride <= maxMemo
}

func (m *machine) clearMemo() {
	words := (m.p.memos<<len(m.p.tested)*m.stride)/64 + 1
	if cap(m.memo) < words {
		m.memo = make([]uint64, words)
		return
	}
	m.memo = m.memo[:words]
	clear(m.memo)
}

// scan tries one start after the other.
func (m *machine) scan(from int) bool {
	p := m.p
	for start := from; start <= len(m.runes); start++ {
		if p.first != nil {
			for start < len(m.runes) && !p.first.has(m.runes[start]) {
				start++
			}
			m.steps += (start - from) / runSteps
			from = start
			if start == len(m.runes) {
				return false
			}
		}
		if p.start && start > 0 {
			return false
		}
		for i := range m.slots {
			m.slots[i] = -1
		}
		m.back = m.back[:0]
		if _, ok := m.run(0, start); ok {
			return true
		}
		if m.over {
			return false
		}
	}
	return false
}

// failed reports whether the instruction has failed here before, and notes that it is tried.
func (m *machine) failed(i *inst, pos int) bool {
	at := int(i.memo) - 1
	for _, group := range m.p.tested {
		at <<= 1
		if m.slots[group+1] >= 0 {
			at |= 1
		}
	}
	at = at*m.stride + pos
	if m.memo[at>>6]&(1<<(at&63)) != 0 {
		return true
	}
	m.memo[at>>6] |= 1 << (at & 63)
	return false
}

// run executes from an instruction up to iDone. When it fails, everything is as it was before.
func (m *machine) run(start int32, at int) (end int, ok bool) {
	base := len(m.back)
	pc, pos := start, at
	insts, runes := m.p.insts, m.runes
	for {
		if m.steps++; m.steps > m.most || len(m.back) > maxBack {
			m.over = true
			m.unwind(base)
			return 0, false
		}
		i := &insts[pc]
		pass := true
		switch i.op {
		case iChar:
			if pass = pos < len(runes) && runes[pos] == i.r; pass {
				pos++
			}
		case iSet:
			if pass = pos < len(runes) && i.set.has(runes[pos]); pass {
				pos++
			}
		case iJump, iDone:
			if i.op == iDone {
				return pos, true
			}
		case iSplit:
			if pass = !m.remembered(i, pos); pass {
				m.back = append(m.back, frame{kind: fTry, pc: i.alt, pos: int32(pos)})
			}
		case iRun:
			pos, pass = m.take(i, pc, pos)
		case iSave:
			m.back = append(m.back, frame{kind: fSlot, pc: i.slot, pos: m.slots[i.slot]})
			m.slots[i.slot] = int32(pos)
		case iReset:
			m.back = append(m.back, frame{kind: fReg, pc: i.slot, pos: m.regs[i.slot]})
			m.regs[i.slot] = -1
		case iTurn:
			if pass = !m.remembered(i, pos); pass {
				pc = m.turn(i, pos)
				continue
			}
		case iLook:
			pass = m.look(i, pos)
		case iAtomic:
			pos, pass = m.atomic(i, pos)
		case iRef:
			pos, pass = m.again(i, pos)
		case iCond:
			if m.slots[i.slot+1] < 0 {
				pc = i.alt
				continue
			}
		case iAssert:
			pass = m.holds(i, pos)
		}
		if m.over {
			m.unwind(base)
			return 0, false
		}
		if pass {
			pc = i.out
			continue
		}
		if pc, pos, pass = m.goBack(base); !pass {
			return 0, false
		}
	}
}

func (m *machine) remembered(i *inst, pos int) bool {
	return m.remember && i.memo > 0 && m.failed(i, pos)
}

// goBack takes back what was done since the last place to go back to, and gives that.
func (m *machine) goBack(base int) (pc int32, pos int, ok bool) {
	for len(m.back) > base {
		f := &m.back[len(m.back)-1]
		switch f.kind {
		case fTry:
			m.back = m.back[:len(m.back)-1]
			return f.pc, int(f.pos), true
		case fSlot:
			m.slots[f.pc] = f.pos
		case fReg:
			m.regs[f.pc] = f.pos
		case fGive:
			if f.pos > f.low {
				f.pos--
				return m.p.insts[f.pc].out, int(f.pos), true
			}
		case fTake:
			i := &m.p.insts[f.pc]
			if int(f.pos) < len(m.runes) && f.pos < f.low && i.set.has(m.runes[f.pos]) {
				f.pos++
				if i.max < runLimit || !m.remembered(i, int(f.pos)) {
					return i.out, int(f.pos), true
				}
			}
		}
		m.back = m.back[:len(m.back)-1]
	}
	return 0, 0, false
}

// unwind takes everything back.
func (m *machine) unwind(base int) {
	for len(m.back) > base {
		f := m.back[len(m.back)-1]
		m.back = m.back[:len(m.back)-1]
		switch f.kind {
		case fSlot:
			m.slots[f.pc] = f.pos
		case fReg:
			m.regs[f.pc] = f.pos
		}
	}
}

// settle forgets the places to go back to since base, and keeps what is to be undone.
func (m *machine) settle(base int) {
	kept := m.back[:base]
	for _, f := range m.back[base:] {
		if f.kind == fSlot || f.kind == fReg {
			kept = append(kept, f)
		}
	}
	m.back = kept
}

// take runs over characters of a set.
func (m *machine) take(i *inst, pc int32, pos int) (int, bool) {
	runes := m.runes
	from := pos
	least := pos + int(i.min)
	if least > len(runes) {
		return 0, false
	}
	for pos < least {
		if !i.set.has(runes[pos]) {
			return 0, false
		}
		pos++
	}
	memo := m.remember && i.memo > 0
	open := i.max >= runLimit
	if memo && m.failed(i, pos) {
		return 0, false // an open run has no more to say from here; one with a limit was tried from here
	}
	if i.mode == lazy {
		m.back = append(m.back, frame{kind: fTake, pc: pc, pos: int32(pos), low: int32(min(from+int(i.max), runLimit))})
		m.steps += (pos - from) / runSteps
		return pos, true
	}
	most := len(runes)
	if !open {
		most = min(most, from+int(i.max))
	}
	low := pos
	for pos < most && i.set.has(runes[pos]) {
		pos++
		if memo && open && i.mode == greedy && m.failed(i, pos) {
			pos--
			break
		}
	}
	m.steps += (pos - from) / runSteps
	if i.mode == greedy && pos > low {
		m.back = append(m.back, frame{kind: fGive, pc: pc, pos: int32(pos), low: int32(low)})
	}
	return pos, true
}

// turn begins one more turn of a loop, or leaves it.
func (m *machine) turn(i *inst, pos int) int32 {
	if i.slot >= 0 {
		if m.regs[i.slot] == int32(pos) {
			return i.alt // the last turn took nothing
		}
		m.back = append(m.back, frame{kind: fReg, pc: i.slot, pos: m.regs[i.slot]})
		if i.mode != lazy {
			m.back = append(m.back, frame{kind: fTry, pc: i.alt, pos: int32(pos)})
			m.regs[i.slot] = int32(pos)
			return i.out
		}
	}
	if i.mode == lazy {
		m.back = append(m.back, frame{kind: fTry, pc: i.out, pos: int32(pos)})
		if i.slot >= 0 {
			m.regs[i.slot] = int32(pos)
		}
		return i.alt
	}
	m.back = append(m.back, frame{kind: fTry, pc: i.alt, pos: int32(pos)})
	return i.out
}

// look runs a sub ahead or behind, without moving.
func (m *machine) look(i *inst, pos int) bool {
	at := pos
	if i.behind {
		if at = pos - int(i.width); at < 0 {
			return i.negate
		}
	}
	base := len(m.back)
	remember := m.remember
	m.remember = false
	_, ok := m.run(i.sub, at)
	m.remember = remember
	switch {
	case !ok:
		return i.negate && !m.over
	case i.negate:
		m.unwind(base)
		return false
	}
	m.settle(base)
	return true
}

func (m *machine) atomic(i *inst, pos int) (int, bool) {
	base := len(m.back)
	remember := m.remember
	m.remember = false
	end, ok := m.run(i.sub, pos)
	m.remember = remember
	if ok {
		m.settle(base)
	}
	return end, ok
}

// again matches the text of a group.
func (m *machine) again(i *inst, pos int) (int, bool) {
	from, to := m.slots[i.slot], m.slots[i.slot+1]
	if from < 0 || to < 0 || pos+int(to-from) > len(m.runes) {
		return 0, false
	}
	for k := from; k < to; k++ {
		if m.runes[k] != m.runes[pos] {
			return 0, false
		}
		pos++
	}
	m.steps += int(to-from) / runSteps
	return pos, true
}

func (m *machine) holds(i *inst, pos int) bool {
	n := len(m.runes)
	switch i.at {
	case atTextStart:
		return pos == 0
	case atLineStart:
		return pos == 0 || m.runes[pos-1] == '\n'
	case atLastLineEnd:
		return pos == n || pos == n-1 && m.runes[pos] == '\n'
	case atLineEnd:
		return pos == n || m.runes[pos] == '\n'
	case atTextEnd:
		return pos == n
	case atBoundary:
		return m.word(i, pos-1) != m.word(i, pos)
	default:
		return n > 0 && m.word(i, pos-1) == m.word(i, pos)
	}
}

// word reports whether there is a character of a word at a position.
func (m *machine) word(i *inst, pos int) bool {
	if pos < 0 || pos >= len(m.runes) {
		return false
	}
	r := m.runes[pos]
	if r < utf8.RuneSelf {
		return r == '_' || '0' <= r && r <= '9' || 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z'
	}
	return !i.ascii && words.has(r)
}
