package jail

import "math"

var constants = map[string]number{
	"True":     whole(1),
	"False":    whole(0),
	"math.pi":  inexact(math.Pi),
	"math.e":   inexact(math.E),
	"math.tau": inexact(2 * math.Pi),
	"math.inf": inexact(math.Inf(1)),
	"math.nan": inexact(math.NaN()),
}

type function struct {
	least, most int // arguments
	call        func(m *machine, e *expr, args []number) number
}

// functions are those of Python that a ban time can be made of.
var functions = map[string]function{
	"abs":   {1, 1, callAbs},
	"bool":  {1, 1, func(_ *machine, _ *expr, a []number) number { return truth(a[0].isTrue()) }},
	"float": {1, 1, func(_ *machine, _ *expr, a []number) number { return inexact(a[0].float()) }},
	"int":   {1, 1, toWhole(math.Trunc)},
	"max":   {2, maxFormulaNodes, extreme(func(a, b float64) bool { return a > b })},
	"min":   {2, maxFormulaNodes, extreme(func(a, b float64) bool { return a < b })},
	"pow":   {2, 2, func(m *machine, e *expr, a []number) number { return m.power(e, a[0], a[1]) }},
	"round": {1, 2, callRound},

	"math.ceil":  {1, 1, toWhole(math.Ceil)},
	"math.floor": {1, 1, toWhole(math.Floor)},
	"math.trunc": {1, 1, toWhole(math.Trunc)},

	"math.acos":    {1, 1, within(math.Acos)},
	"math.asin":    {1, 1, within(math.Asin)},
	"math.atan":    {1, 1, within(math.Atan)},
	"math.cos":     {1, 1, within(math.Cos)},
	"math.cosh":    {1, 1, within(math.Cosh)},
	"math.degrees": {1, 1, within(func(x float64) float64 { return x * 180 / math.Pi })},
	"math.exp":     {1, 1, within(math.Exp)},
	"math.expm1":   {1, 1, within(math.Expm1)},
	"math.fabs":    {1, 1, within(math.Abs)},
	"math.log":     {1, 2, callLog},
	"math.log10":   {1, 1, within(positive(math.Log10))},
	"math.log1p":   {1, 1, within(func(x float64) float64 { return positive(math.Log1p)(x) })},
	"math.log2":    {1, 1, within(positive(math.Log2))},
	"math.radians": {1, 1, within(func(x float64) float64 { return x * math.Pi / 180 })},
	"math.sin":     {1, 1, within(math.Sin)},
	"math.sinh":    {1, 1, within(math.Sinh)},
	"math.sqrt":    {1, 1, within(math.Sqrt)},
	"math.tan":     {1, 1, within(math.Tan)},
	"math.tanh":    {1, 1, within(math.Tanh)},
	"math.pow": {2, 2, func(m *machine, e *expr, a []number) number {
		return m.power(e, inexact(a[0].float()), inexact(a[1].float()))
	}},

	"random.random":  {0, 0, func(m *machine, _ *expr, _ []number) number { return inexact(m.random()) }},
	"random.uniform": {2, 2, callUniform},
	"random.randint": {2, 2, callRandint},
}

func callAbs(m *machine, e *expr, a []number) number {
	if a[0].float() < 0 {
		return m.sign(&expr{op: "unary-", at: e.at}, a[0])
	}
	return a[0]
}

// toWhole makes a function that rounds to a whole number in its way.
func toWhole(round func(float64) float64) func(*machine, *expr, []number) number {
	return func(m *machine, e *expr, a []number) number {
		if a[0].isWhole {
			return a[0]
		}
		f := a[0].f
		if math.IsNaN(f) {
			return m.fail(e, false, e.name+" of what is not a number")
		}
		return truncate(round(f)) // infinity stays, Python would raise
	}
}

// extreme makes min or max: the first argument that no later one beats.
func extreme(beats func(a, b float64) bool) func(*machine, *expr, []number) number {
	return func(_ *machine, _ *expr, a []number) number {
		best := a[0]
		for _, v := range a[1:] {
			if beats(v.float(), best.float()) {
				best = v
			}
		}
		return best
	}
}

// within makes a function of one number that is refused where it is not defined.
func within(f func(float64) float64) func(*machine, *expr, []number) number {
	return func(m *machine, e *expr, a []number) number {
		x := a[0].float()
		y := f(x)
		if math.IsNaN(y) && !math.IsNaN(x) {
			return m.fail(e, false, e.name+" is not defined there")
		}
		return inexact(y)
	}
}

// positive makes a logarithm refuse what gives no finite value, as Python's do.
func positive(log func(float64) float64) func(float64) float64 {
	return func(x float64) float64 {
		if y := log(x); !math.IsInf(y, -1) {
			return y
		}
		return math.NaN()
	}
}

func callLog(m *machine, e *expr, a []number) number {
	ln := within(positive(math.Log))
	y := ln(m, e, a[:1])
	if len(a) == 1 || m.err != nil {
		return y
	}
	base := ln(m, e, a[1:])
	if m.err == nil && base.f == 0 {
		return m.fail(e, false, "a logarithm to the base 1")
	}
	return inexact(y.f / base.f)
}

// callRound rounds half to even; with a second argument to that many decimals.
func callRound(m *machine, e *expr, a []number) number {
	if len(a) == 1 {
		return toWhole(math.RoundToEven)(m, e, a)
	}
	if !a[1].isWhole {
		return m.fail(e, true, "round wants a whole number of decimals")
	}
	scale := math.Pow(10, float64(max(-400, min(a[1].n, 400))))
	v := math.RoundToEven(a[0].float()*scale) / scale
	if math.IsNaN(v) || math.IsInf(v, 0) { // more decimals than it has, or fewer than digits
		if a[1].n > 0 {
			return a[0]
		}
		v = 0
	}
	if a[0].isWhole {
		return truncate(v)
	}
	return inexact(v)
}

func callUniform(m *machine, _ *expr, a []number) number {
	from, to := a[0].float(), a[1].float()
	return inexact(from + (to-from)*m.random())
}

func callRandint(m *machine, e *expr, a []number) number {
	if !a[0].isWhole || !a[1].isWhole {
		return m.fail(e, true, "random.randint wants whole numbers")
	}
	from, to := a[0].n, a[1].n
	if from > to {
		return m.fail(e, false, "random.randint from the larger to the smaller")
	}
	n := math.Floor((float64(to) - float64(from) + 1) * m.random())
	return truncate(math.Min(float64(from)+n, float64(to)))
}
