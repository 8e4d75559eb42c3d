package jail

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Limits on formulas: fail2ban's own and those that people share have less than a quarter of this.
const (
	maxFormulaBytes = 1024
	maxFormulaNodes = 256
	maxFormulaDepth = 64
)

// Formula is a checked bantime.formula. It is immutable.
//
// The language is the arithmetic of Python's expressions: numbers, + - * / // % ** << >> & | ^ ~,
// comparisons (also chained), and, or, not, a if c else b, parentheses; the names ban.Time, ban.Count
// and banFactor; the functions abs, bool, float, int, max, min, pow and round; of math the constants
// and the common functions; of random the functions random, uniform and randint. Nothing is run as
// code: there is no attribute, index, string or assignment.
//
// Whole numbers that outgrow 64 bits become floating point, and what Python reports as an overflow
// becomes infinity, which the escalation limits.
type Formula struct {
	source string
	root   *expr
}

// Vars are the values that a formula is computed from.
type Vars struct {
	// Time is the jail's ban time, ban.Time: a whole number of seconds if it is one.
	Time time.Duration
	// Count is the number of earlier bans, ban.Count.
	Count int
	// Factor is banFactor.
	Factor float64
}

// FormulaError says what is wrong with a formula, and where.
type FormulaError struct {
	Formula string
	// Offset is the byte in Formula that the message is about, counted from 0.
	Offset int
	Msg    string
}

// Error gives the message with the column, counted from 1.
func (e *FormulaError) Error() string {
	return fmt.Sprintf("formula %q, column %d: %s", e.Formula, e.Offset+1, e.Msg)
}

// ParseFormula reads a formula of at most 1024 bytes. What it accepts can be computed, but for values
// that arithmetic refuses (a division by zero). The error is a *FormulaError.
func ParseFormula(s string) (*Formula, error) { return parse(s, true) }

func parse(s string, vars bool) (*Formula, error) {
	if len(s) > maxFormulaBytes {
		return nil, &FormulaError{s[:40] + "…", maxFormulaBytes, fmt.Sprintf("longer than %d bytes", maxFormulaBytes)}
	}
	p := &parser{src: s, vars: vars}
	p.next()
	root := p.expression()
	if p.err == nil && p.tok.kind != tokEnd {
		p.fail(p.tok.at, fmt.Sprintf("unexpected %q", p.tok.text))
	}
	if p.err != nil {
		return nil, p.err
	}
	f := &Formula{source: s, root: root}
	// Types are found out by computing: a formula whose operands do not fit is refused here, not in
	// the night of the second ban.
	for count := 1; count <= 3; count++ {
		m := machine{vars: Vars{Time: 10 * time.Minute, Count: count, Factor: 1}, random: noRandom}
		if m.eval(root); m.err != nil && m.misuse {
			m.err.Formula = s
			return nil, m.err
		}
	}
	return f, nil
}

// String gives the formula as it was written.
func (f *Formula) String() string { return f.source }

// Eval computes the formula; random gives numbers from 0 up to 1. The result may be infinite or not a
// number. The error is a *FormulaError.
func (f *Formula) Eval(v Vars, random func() float64) (float64, error) {
	m := machine{vars: v, random: random}
	n := m.eval(f.root)
	if m.err != nil {
		m.err.Formula = f.source
		return 0, m.err
	}
	return n.float(), nil
}

// expr is a node of the syntax tree.
type expr struct {
	op   string // of the grammar below, "num", "name", "call", "if"
	at   int
	num  number
	name string
	args []*expr
	ops  []string // of a comparison chain, one less than args
}

type tokenKind uint8

const (
	tokEnd tokenKind = iota
	tokNumber
	tokName
	tokOp
)

type token struct {
	kind tokenKind
	text string
	at   int
}

type parser struct {
	src   string
	vars  bool // ban.Time and the others are known
	pos   int
	tok   token
	nodes int
	depth int
	err   *FormulaError
}

func (p *parser) fail(at int, msg string) {
	if p.err == nil {
		p.err = &FormulaError{Formula: p.src, Offset: at, Msg: msg}
	}
	p.tok = token{kind: tokEnd, at: len(p.src)}
	p.pos = len(p.src)
}

func (p *parser) next() {
	for p.pos < len(p.src) && strings.IndexByte(" \t\r\n\f", p.src[p.pos]) >= 0 {
		p.pos++
	}
	at := p.pos
	if at == len(p.src) {
		p.tok = token{kind: tokEnd, at: at, text: "end"}
		return
	}
	c := p.src[at]
	switch {
	case isDigit(c) || c == '.' && at+1 < len(p.src) && isDigit(p.src[at+1]):
		p.pos = at + numberLen(p.src[at:])
		p.tok = token{tokNumber, p.src[at:p.pos], at}
	case isLetter(c):
		for p.pos < len(p.src) && (isLetter(p.src[p.pos]) || isDigit(p.src[p.pos])) {
			p.pos++
		}
		p.tok = token{tokName, p.src[at:p.pos], at}
	default:
		for _, op := range [...]string{
			"**", "//", "<<", ">>", "<=", ">=", "==", "!=",
			"+", "-", "*", "/", "%", "<", ">", "&", "|", "^", "~", "(", ")", ",", ".",
		} {
			if strings.HasPrefix(p.src[at:], op) {
				p.pos += len(op)
				p.tok = token{tokOp, op, at}
				return
			}
		}
		p.fail(at, fmt.Sprintf("unexpected %q", firstRune(p.src[at:])))
	}
}

func firstRune(s string) string {
	for _, r := range s {
		return string(r)
	}
	return ""
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

func isLetter(c byte) bool { return c == '_' || 'a' <= c|0x20 && c|0x20 <= 'z' }

// numberLen gives the length of the number that s begins with: digits, a fraction, an exponent.
func numberLen(s string) int {
	digits := func(i int) int {
		for i < len(s) && (isDigit(s[i]) || s[i] == '_') {
			i++
		}
		return i
	}
	i := digits(0)
	if i < len(s) && s[i] == '.' {
		i = digits(i + 1)
	}
	if i < len(s) && s[i]|0x20 == 'e' {
		j := i + 1
		if j < len(s) && (s[j] == '+' || s[j] == '-') {
			j++
		}
		if j < len(s) && isDigit(s[j]) {
			i = digits(j)
		}
	}
	return i
}

// is reports whether the token is the operator or word.
func (p *parser) is(texts ...string) bool {
	if p.tok.kind != tokOp && p.tok.kind != tokName {
		return false
	}
	return slices.Contains(texts, p.tok.text)
}

func (p *parser) expect(text string) {
	if !p.is(text) {
		p.fail(p.tok.at, fmt.Sprintf("expected %q", text))
		return
	}
	p.next()
}

func (p *parser) node(op string, at int, args ...*expr) *expr {
	if p.nodes++; p.nodes > maxFormulaNodes {
		p.fail(at, fmt.Sprintf("more than %d operands and operators", maxFormulaNodes))
	}
	return &expr{op: op, at: at, args: args}
}

// deeper guards every recursion.
func (p *parser) deeper() bool {
	if p.depth++; p.depth > maxFormulaDepth {
		p.fail(p.tok.at, fmt.Sprintf("nested deeper than %d", maxFormulaDepth))
		return false
	}
	return true
}

func (p *parser) expression() *expr {
	defer func() { p.depth-- }()
	if !p.deeper() {
		return nil
	}
	e := p.binary(0)
	if !p.is("if") {
		return e
	}
	at := p.tok.at
	p.next()
	cond := p.binary(0)
	p.expect("else")
	return p.node("if", at, cond, e, p.expression())
}

// levels are the binary operators, loosest first, as Python ranks them.
var levels = [...][]string{
	{"or"},
	{"and"},
	{"not"}, // unary
	{"<", "<=", ">", ">=", "==", "!="},
	{"|"},
	{"^"},
	{"&"},
	{"<<", ">>"},
	{"+", "-"},
	{"*", "/", "//", "%"},
}

const (
	levelNot     = 2
	levelCompare = 3
)

func (p *parser) binary(level int) *expr {
	if level == len(levels) {
		return p.unary()
	}
	if level == levelNot {
		if !p.is("not") {
			return p.binary(level + 1)
		}
		defer func() { p.depth-- }()
		at := p.tok.at
		if !p.deeper() {
			return nil
		}
		p.next()
		return p.node("not", at, p.binary(level))
	}
	e := p.binary(level + 1)
	var chain *expr
	for p.is(levels[level]...) {
		op := p.tok
		p.next()
		right := p.binary(level + 1)
		switch {
		case level != levelCompare:
			e = p.node(op.text, op.at, e, right)
		case chain == nil:
			e = p.node("compare", op.at, e, right)
			e.ops = []string{op.text}
			chain = e
		default:
			p.node("compare", op.at)
			chain.args = append(chain.args, right)
			chain.ops = append(chain.ops, op.text)
		}
	}
	return e
}

func (p *parser) unary() *expr {
	defer func() { p.depth-- }()
	if !p.deeper() {
		return nil
	}
	if p.is("+", "-", "~") {
		op := p.tok
		p.next()
		return p.node("unary"+op.text, op.at, p.unary())
	}
	e := p.atom()
	if p.is("**") { // binds tighter than a sign on its left, looser than one on its right
		at := p.tok.at
		p.next()
		return p.node("**", at, e, p.unary())
	}
	return e
}

func (p *parser) atom() *expr {
	t := p.tok
	switch {
	case t.kind == tokNumber:
		return p.number(t)
	case p.is("("):
		p.next()
		e := p.expression()
		p.expect(")")
		return e
	case t.kind != tokName:
		p.fail(t.at, "expected a number, a name or an opening parenthesis")
		return nil
	case p.is("if", "else", "and", "or", "not"):
		p.fail(t.at, fmt.Sprintf("unexpected %q", t.text))
		return nil
	}
	p.next()
	name := t.text
	if p.is(".") {
		p.next()
		if p.tok.kind != tokName {
			p.fail(p.tok.at, "expected a name after the dot")
			return nil
		}
		name += "." + p.tok.text
		p.next()
	}
	if p.is("(") {
		return p.call(name, t.at)
	}
	if v, ok := constants[name]; ok {
		e := p.node("num", t.at)
		e.num = v
		return e
	}
	if !p.vars || name != "ban.Time" && name != "ban.Count" && name != "banFactor" {
		p.fail(t.at, fmt.Sprintf("unknown name %q", name))
		return nil
	}
	e := p.node("name", t.at)
	e.name = name
	return e
}

func (p *parser) number(t token) *expr {
	e := p.node("num", t.at)
	p.next()
	text := strings.ReplaceAll(t.text, "_", "")
	if strings.Contains(t.text, "__") || strings.HasSuffix(t.text, "_") || p.tok.kind == tokName && p.tok.at == t.at+len(t.text) && !p.is("if", "else", "and", "or") {
		p.fail(t.at, fmt.Sprintf("%q is no number", t.text))
		return e
	}
	if strings.Trim(text, "0123456789") == "" {
		if len(text) > 1 && text[0] == '0' && strings.Trim(text, "0") != "" {
			p.fail(t.at, fmt.Sprintf("%q is no number: it must not begin with 0", t.text))
			return e
		}
		if n, err := strconv.ParseInt(text, 10, 64); err == nil {
			e.num = whole(n)
			return e
		}
	}
	v, err := strconv.ParseFloat(text, 64)
	if err != nil && !math.IsInf(v, 0) { // too large is infinity, as in Python
		p.fail(t.at, fmt.Sprintf("%q is no number", t.text))
	}
	e.num = inexact(v)
	return e
}

func (p *parser) call(name string, at int) *expr {
	f, ok := functions[name]
	if !ok {
		p.fail(at, fmt.Sprintf("unknown function %q", name))
		return nil
	}
	e := p.node("call", at)
	e.name = name
	p.next()
	for !p.is(")") {
		e.args = append(e.args, p.expression())
		if p.err != nil {
			return nil
		}
		if !p.is(",") {
			break
		}
		p.next()
	}
	p.expect(")")
	if n := len(e.args); p.err == nil && (n < f.least || n > f.most) {
		p.fail(at, fmt.Sprintf("%s takes %s, not %d", name, arity(f.least, f.most), n))
	}
	return e
}

func arity(least, most int) string {
	switch {
	case least == 1 && most == 1:
		return "1 argument"
	case least == most:
		return fmt.Sprintf("%d arguments", least)
	case most == maxFormulaNodes:
		return fmt.Sprintf("at least %d arguments", least)
	default:
		return fmt.Sprintf("%d to %d arguments", least, most)
	}
}
