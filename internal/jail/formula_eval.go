package jail

import (
	"math"
	"math/bits"
)

// number is a Python number: whole or floating point. Which one matters to shifts and to rounding
// division.
type number struct {
	isWhole bool
	n       int64
	f       float64
}

func whole(n int64) number     { return number{isWhole: true, n: n} }
func inexact(f float64) number { return number{f: f} }

func truth(b bool) number {
	if b {
		return whole(1)
	}
	return whole(0)
}

func (v number) float() float64 {
	if v.isWhole {
		return float64(v.n)
	}
	return v.f
}

func (v number) isTrue() bool { return v.float() != 0 }

// truncate makes a whole number of a floating one, if it is not too large to be one.
func truncate(f float64) number {
	if f = math.Trunc(f); math.Abs(f) < 1<<63 {
		return whole(int64(f))
	}
	return inexact(f)
}

// machine computes a tree. After an error everything it computes is zero.
type machine struct {
	vars   Vars
	random func() float64
	err    *FormulaError
	misuse bool // the error is one of types: no values would help
}

func (m *machine) fail(e *expr, misuse bool, msg string) number {
	if m.err == nil {
		m.err = &FormulaError{Offset: e.at, Msg: msg}
		m.misuse = misuse
	}
	return number{}
}

func (m *machine) eval(e *expr) number {
	if m.err != nil {
		return number{}
	}
	switch e.op {
	case "num":
		return e.num
	case "name":
		return m.variable(e.name)
	case "call":
		args := make([]number, len(e.args))
		for i, a := range e.args {
			args[i] = m.eval(a)
		}
		if m.err != nil {
			return number{}
		}
		return functions[e.name].call(m, e, args)
	case "if":
		if m.eval(e.args[0]).isTrue() {
			return m.eval(e.args[1])
		}
		return m.eval(e.args[2])
	case "and", "or":
		left := m.eval(e.args[0])
		if left.isTrue() == (e.op == "or") {
			return left
		}
		return m.eval(e.args[1])
	case "not":
		return truth(!m.eval(e.args[0]).isTrue())
	case "compare":
		return m.compare(e)
	}
	a := m.eval(e.args[0])
	if len(e.args) == 1 {
		return m.sign(e, a)
	}
	b := m.eval(e.args[1])
	if m.err != nil {
		return number{}
	}
	return m.operate(e, a, b)
}

func (m *machine) variable(name string) number {
	switch name {
	case "ban.Count":
		return whole(int64(m.vars.Count))
	case "banFactor":
		if f := m.vars.Factor; f == math.Trunc(f) && math.Abs(f) < 1<<53 {
			return whole(int64(f))
		}
		return inexact(m.vars.Factor)
	default: // ban.Time
		if secs := m.vars.Time.Seconds(); secs == math.Trunc(secs) {
			return whole(int64(secs))
		}
		return inexact(m.vars.Time.Seconds())
	}
}

func (m *machine) compare(e *expr) number {
	left := m.eval(e.args[0])
	for i, op := range e.ops {
		right := m.eval(e.args[i+1])
		a, b := left.float(), right.float()
		if left.isWhole && right.isWhole { // exact beyond 2^53
			a, b = float64(compareInts(left.n, right.n)), 0
		}
		var holds bool
		switch op {
		case "<":
			holds = a < b
		case "<=":
			holds = a <= b
		case ">":
			holds = a > b
		case ">=":
			holds = a >= b
		case "==":
			holds = a == b
		case "!=":
			holds = a != b
		}
		if !holds {
			return whole(0)
		}
		left = right
	}
	return whole(1)
}

func compareInts(a, b int64) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

func (m *machine) sign(e *expr, a number) number {
	switch {
	case e.op == "unary+":
		return a
	case e.op == "unary~" && !a.isWhole:
		return m.fail(e, true, "~ wants a whole number")
	case e.op == "unary~":
		return whole(^a.n)
	case a.isWhole && a.n != math.MinInt64:
		return whole(-a.n)
	}
	return inexact(-a.float())
}

func (m *machine) operate(e *expr, a, b number) number {
	ints := a.isWhole && b.isWhole
	x, y := a.float(), b.float()
	switch e.op {
	case "+":
		if s := a.n + b.n; ints && (s > a.n) == (b.n > 0) {
			return whole(s)
		}
		return inexact(x + y)
	case "-":
		if s := a.n - b.n; ints && (s < a.n) == (b.n > 0) {
			return whole(s)
		}
		return inexact(x - y)
	case "*":
		if ints {
			return multiply(a.n, b.n)
		}
		return inexact(x * y)
	case "**":
		return m.power(e, a, b)
	case "/", "//", "%":
		if y == 0 {
			return m.fail(e, false, "division by zero")
		}
		return divide(e.op, a, b)
	}
	if !ints {
		return m.fail(e, true, e.op+" wants whole numbers")
	}
	switch e.op {
	case "<<", ">>":
		return m.shift(e, a.n, b.n)
	case "&":
		return whole(a.n & b.n)
	case "|":
		return whole(a.n | b.n)
	default: // "^"
		return whole(a.n ^ b.n)
	}
}

func multiply(a, b int64) number {
	hi, lo := bits.Mul64(magnitude(a), magnitude(b))
	if hi != 0 || lo > math.MaxInt64 {
		return inexact(float64(a) * float64(b))
	}
	return whole(a * b)
}

func magnitude(n int64) uint64 {
	if n < 0 {
		return -uint64(n)
	}
	return uint64(n)
}

// divide rounds towards negative infinity, and a remainder has the sign of the divisor, which is not 0.
func divide(op string, a, b number) number {
	if op == "/" {
		return inexact(a.float() / b.float())
	}
	if a.isWhole && b.isWhole && (a.n != math.MinInt64 || b.n != -1) {
		q, r := a.n/b.n, a.n%b.n
		if r != 0 && (r < 0) != (b.n < 0) {
			q, r = q-1, r+b.n
		}
		if op == "//" {
			return whole(q)
		}
		return whole(r)
	}
	x, y := a.float(), b.float()
	r := math.Mod(x, y)
	if r != 0 && (r < 0) != (y < 0) {
		r += y
	}
	if op == "%" {
		return inexact(r)
	}
	return inexact(math.Round((x - r) / y))
}

func (m *machine) shift(e *expr, n, by int64) number {
	switch {
	case by < 0:
		return m.fail(e, false, "negative shift count")
	case e.op == ">>":
		return whole(n >> min(by, 63))
	case n == 0:
		return whole(0)
	case by < 63 && n<<by>>by == n:
		return whole(n << by)
	}
	return inexact(math.Ldexp(float64(n), int(min(by, 4096))))
}

func (m *machine) power(e *expr, a, b number) number {
	x, y := a.float(), b.float()
	switch {
	case x == 0 && y < 0:
		return m.fail(e, false, "0 has no negative power")
	case x < 0 && y != math.Trunc(y):
		return m.fail(e, false, "a negative number has no fractional power")
	case a.isWhole && b.isWhole && b.n >= 0:
		return powerInts(a.n, b.n)
	}
	return inexact(math.Pow(x, y))
}

func powerInts(a, b int64) number {
	result, base := whole(1), whole(a)
	for n := b; n > 0; n >>= 1 {
		if n&1 == 1 {
			if result = multiply(result.n, base.n); !result.isWhole {
				return inexact(math.Pow(float64(a), float64(b)))
			}
		}
		if n > 1 {
			if base = multiply(base.n, base.n); !base.isWhole {
				return inexact(math.Pow(float64(a), float64(b)))
			}
		}
	}
	return result
}
