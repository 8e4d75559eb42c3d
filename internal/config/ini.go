package config

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// defaultSection holds what every other section of its file set inherits.
const defaultSection = "DEFAULT"

// entry is one key's value as it was written.
type entry struct {
	value string
	at    Origin   // its Value is not set: value says it
	taint *Problem // why the value cannot be trusted; nil if it can
	lost  bool     // a value was meant, and could not be read
}

func (e entry) origin() Origin {
	at := e.at
	at.Value = e.value
	return at
}

// section keeps keys in the order of their first appearance.
type section struct {
	name  string
	at    Origin
	keys  []string
	byKey map[string]entry
	taint *Problem // why the section as a whole cannot be trusted; nil if it can
}

func newSection(name string, at Origin) *section {
	return &section{name: name, at: at, byKey: map[string]entry{}}
}

func (s *section) set(key string, e entry) {
	if _, known := s.byKey[key]; !known {
		s.keys = append(s.keys, key)
	}
	s.byKey[key] = e
}

// iniFile is one file, parsed.
type iniFile struct {
	name     string
	defaults *section
	sections []*section
	problems []Problem
}

func (f *iniFile) section(name string) *section {
	for _, s := range f.sections {
		if s.name == name {
			return s
		}
	}
	return nil
}

// iniParser is the state between two lines of a file. The rules are those of Python's strict
// configparser, with ";" after white space as the only inline comment; a line that breaks them is
// reported, and what it may have meant is marked, where Python would give up the file.
type iniParser struct {
	file   *iniFile
	lineNo int
	cur    *section // nil before the first header
	key    string   // the key that a deeper line continues; "" if none
	lines  []string // the lines of that key's value
	indent int      // of the line that began the key or section
	byName map[string]*section
	own    map[*section]map[string]int // line of each key, to find duplicates
	lost   map[string]*Problem         // keys named where no value could be read
}

// parseINI parses one file. name is used in origins only. It never fails: the problems are in the
// result.
func parseINI(name, text string) *iniFile {
	f := &iniFile{name: name, defaults: newSection(defaultSection, Origin{File: name, Section: defaultSection})}
	p := &iniParser{
		file: f, byName: map[string]*section{}, own: map[*section]map[string]int{},
		lost: map[string]*Problem{},
	}
	if rest, ok := strings.CutPrefix(text, "\ufeff"); ok {
		text = rest
		f.problems = append(f.problems, Origin{File: name, Line: 1}.Problem(Warning, "",
			"the file begins with a byte order mark, which fail2ban does not read", "save the file as UTF-8 without it"))
	}
	for len(text) > 0 {
		var line string
		line, text = cutLine(text)
		p.lineNo++
		p.line(line)
	}
	p.endValue()
	for key, problem := range p.lost {
		e, ok := f.defaults.byKey[key]
		if !ok {
			e.at = Origin{File: problem.File, Line: problem.Line, Section: defaultSection, Key: key}
			e.lost = true
		}
		e.taint = problem
		f.defaults.set(key, e)
	}
	return f
}

// cutLine takes one line off text; LF, CR LF and a lone CR end a line.
func cutLine(text string) (line, rest string) {
	i := strings.IndexAny(text, "\r\n")
	if i < 0 {
		return text, ""
	}
	if text[i] == '\r' && i+1 < len(text) && text[i+1] == '\n' {
		return text[:i], text[i+2:]
	}
	return text[:i], text[i+1:]
}

func (p *iniParser) line(line string) {
	text, commented := cutComment(line)
	text = strings.TrimFunc(text, isSpace)
	if text == "" {
		if !commented && p.key != "" {
			p.lines = append(p.lines, "")
		}
		return
	}
	indent := indentOf(line)
	broken := !utf8.ValidString(text)
	if broken {
		text = strings.ToValidUTF8(text, "\ufffd")
	}
	if p.cur != nil && p.key != "" && indent > p.indent {
		p.lines = append(p.lines, text)
		if broken {
			p.undecodable(p.key, text)
		}
		return
	}
	p.indent = indent
	if name, ok := header(text); ok {
		p.header(name)
		return
	}
	key, value, ok := splitOption(text)
	switch {
	case p.cur == nil:
		p.headless(key, text)
	case !ok:
		p.stray(text)
	default:
		p.option(key, value)
		if broken {
			p.undecodable(key, value)
		}
	}
}

// endValue stores the value whose lines were collected.
func (p *iniParser) endValue() {
	if p.key == "" {
		return
	}
	e := p.cur.byKey[p.key]
	e.value = strings.TrimRightFunc(strings.Join(p.lines, "\n"), isSpace)
	p.cur.set(p.key, e)
	p.key, p.lines = "", nil
}

func (p *iniParser) header(name string) {
	p.endValue()
	at := Origin{File: p.file.name, Line: p.lineNo, Section: name}
	if name == defaultSection {
		p.cur = p.file.defaults
		return
	}
	if s := p.byName[name]; s != nil {
		p.cur = s
		problem := at.Problem(Error, "", "this section was already there in line "+itoa(s.at.Line)+" of the same file",
			"put its keys into one section")
		p.report(problem)
		s.taint = &problem
		return
	}
	s := newSection(name, at)
	p.byName[name] = s
	p.file.sections = append(p.file.sections, s)
	p.cur = s
}

func (p *iniParser) option(key, value string) {
	p.endValue()
	at := Origin{File: p.file.name, Line: p.lineNo, Section: p.cur.name, Key: key}
	e := entry{at: at}
	lines := p.own[p.cur]
	if lines == nil {
		lines = map[string]int{}
		p.own[p.cur] = lines
	}
	if first, twice := lines[key]; twice {
		at.Value = value
		problem := at.Problem(Error, "", "this key was already set in line "+itoa(first)+" of the same section",
			"remove one of the two")
		p.report(problem)
		e.taint = &problem
	} else {
		lines[key] = p.lineNo
		e.taint = p.cur.byKey[key].taint
	}
	p.cur.set(key, e)
	p.key, p.lines = key, []string{value}
}

// stray is a line that is no option. In a section of its own it makes that section doubtful; in the
// defaults, which all sections share, the key before it (which it may continue) and the key that its
// first word names.
func (p *iniParser) stray(text string) {
	at := Origin{File: p.file.name, Line: p.lineNo, Section: p.cur.name}
	problem := at.Problem(Error, "", "neither key = value nor a section: "+oneLine(text),
		"indent the line if it continues the value above it, or add the missing =")
	p.report(problem)
	if p.cur != p.file.defaults {
		p.cur.taint = &problem
		return
	}
	if p.key == "" {
		p.cur.taint = &problem
	} else {
		p.taint(p.key, &problem)
	}
	p.lost[firstWord(text)] = &problem
}

// headless is a line before the first section. The key that it names was meant for some section, so
// no section's inherited value of it can be trusted.
func (p *iniParser) headless(key, text string) {
	at := Origin{File: p.file.name, Line: p.lineNo}
	problem := at.Problem(Error, "", "text before the first [section]: "+oneLine(text),
		"put [DEFAULT] or the name of a jail above it")
	if len(p.lost) == 0 {
		p.report(problem)
	}
	if key == "" {
		key = firstWord(text)
	}
	p.lost[key] = &problem
}

func (p *iniParser) undecodable(key, text string) {
	at := Origin{File: p.file.name, Line: p.lineNo, Section: p.cur.name, Key: key, Value: text}
	problem := at.Problem(Error, "", "the line is not UTF-8; fail2ban ignores the whole file", "save the file as UTF-8")
	p.report(problem)
	p.taint(key, &problem)
}

func (p *iniParser) taint(key string, problem *Problem) {
	e := p.cur.byKey[key]
	e.taint = problem
	p.cur.set(key, e)
}

// maxReported bounds the problems of one file; what lies behind them is marked all the same.
const maxReported = 100

func (p *iniParser) report(problem Problem) {
	if len(p.file.problems) < maxReported {
		p.file.problems = append(p.file.problems, problem)
	}
}

// cutComment takes a comment off a line and reports whether there was one. "#" and ";" begin one as
// the first character of a line, ";" also after white space.
func cutComment(line string) (text string, commented bool) {
	if first := strings.TrimLeftFunc(line, isSpace); first != "" && (first[0] == '#' || first[0] == ';') {
		return "", true
	}
	for from := 0; ; {
		i := strings.IndexByte(line[from:], ';')
		if i < 0 {
			return line, false
		}
		i += from
		before, _ := utf8.DecodeLastRuneInString(line[:i])
		if isSpace(before) {
			return line[:i], true
		}
		from = i + 1
	}
}

// header recognises "[name]": from the bracket that begins the text to the last one in it.
func header(text string) (name string, ok bool) {
	if text[0] != '[' {
		return "", false
	}
	end := strings.LastIndexByte(text, ']')
	if end < 2 {
		return "", false
	}
	return text[1:end], true
}

// splitOption splits "key = value" or "key: value" at the first of the two signs.
func splitOption(text string) (key, value string, ok bool) {
	i := strings.IndexAny(text, "=:")
	if i < 0 {
		return "", "", false
	}
	key = strings.TrimRightFunc(text[:i], isSpace)
	if key == "" {
		return "", "", false
	}
	return strings.ToLower(key), strings.TrimFunc(text[i+1:], isSpace), true
}

// indentOf counts the white space before the text, in characters.
func indentOf(line string) int {
	n := 0
	for _, r := range line {
		if !isSpace(r) {
			return n
		}
		n++
	}
	return 0
}

func firstWord(text string) string {
	if i := strings.IndexFunc(text, isSpace); i > 0 {
		text = text[:i]
	}
	return strings.ToLower(text)
}

// isSpace is what Python's str.isspace says of one character.
func isSpace(r rune) bool {
	return unicode.IsSpace(r) || r >= 0x1c && r <= 0x1f
}
