package jail

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// Policy is what a jail's configuration says about counting and banning.
type Policy struct {
	// Jail is the name.
	Jail string
	// MaxRetry is the weighted count of failures that leads to a ban; less than 1 acts as 1.
	MaxRetry int
	// FindTime is the interval that failures are counted in. A tally whose last failure lies that long
	// ago is forgotten.
	FindTime time.Duration
	// BanTime is how long a ban lasts; negative is permanent.
	BanTime time.Duration
	// MaxMatches is the number of lines kept of an ID's failures; 0 keeps none.
	MaxMatches int
	// Increment makes bans of repeat offenders longer.
	Increment Increment
}

// Increment is the escalation of ban times. The zero value has none.
//
// The first ban of an ID lasts the jail's ban time. A later one lasts
//
//	Multipliers set:  BanTime * Factor * Multipliers[count], the last one if there are too few
//	else:             the larger of BanTime and Formula
//
// at most MaxTime, plus a random part of RndTime. Permanent bans and bans with a time of their own
// are left alone.
type Increment struct {
	Enabled bool
	// Factor is banFactor in formulas; 0 means 1.
	Factor float64
	// Formula is nil for fail2ban's default: BanTime * Factor * 2^count, where count is 20 at most.
	Formula *Formula
	// Multipliers are looked up by the count of earlier bans, so that the first is never used.
	Multipliers []float64
	// MaxTime is the limit before RndTime; 0 is none, negative makes every later ban permanent.
	MaxTime time.Duration
	// RndTime is the most that chance adds; 0 or less is nothing.
	RndTime time.Duration
	// OverallJails counts the bans in all jails instead of the own.
	OverallJails bool
}

func (i Increment) factor() float64 {
	if i.Factor == 0 {
		return 1
	}
	return i.Factor
}

// lengthen gives the time of a ban after count earlier ones. When the formula fails, that is the error
// and the base the time. Base is positive.
func (i Increment) lengthen(base time.Duration, count int, random func() float64) (time.Duration, error) {
	if count < 1 {
		return base, nil
	}
	secs := base.Seconds()
	switch {
	case len(i.Multipliers) > 0:
		secs = secs * i.factor() * i.Multipliers[min(count, len(i.Multipliers)-1)]
	case i.Formula != nil:
		v, err := i.Formula.Eval(Vars{Time: base, Count: count, Factor: i.factor()}, random)
		if err != nil {
			return base, err
		}
		secs = math.Max(secs, v)
	default:
		secs = math.Max(secs, secs*float64(int64(1)<<min(count, maxDoublings))*i.factor())
	}
	if math.IsNaN(secs) {
		return base, errors.New("the ban time is not a number")
	}
	d := seconds(secs)
	switch {
	case i.MaxTime < 0:
		return Permanent, nil
	case i.MaxTime > 0 && d > i.MaxTime:
		d = i.MaxTime
	}
	if i.RndTime > 0 && d >= 0 {
		if add := time.Duration(random() * float64(i.RndTime)); add > 0 {
			d += min(add, math.MaxInt64-d)
		}
	}
	return d, nil
}

// maxDoublings is where fail2ban's powers of two end: a million times the first.
const maxDoublings = 20

// weight is what a failure counts as after count earlier bans: 2, 3, 5, 9, …, at most maxRetry.
func weight(count, maxRetry int) (w int, capped bool) {
	if count < 1 {
		return 1, false
	}
	w = 1<<min(count-1, maxDoublings-1) + 1
	if w > maxRetry {
		return maxRetry, true
	}
	return w, false
}

// seconds converts, holding to the bounds of a Duration (292 years). Exactly -1 is permanent, as in
// fail2ban; anything else below 0 is 0, a ban that is over at once.
func seconds(s float64) time.Duration {
	switch ns := s * float64(time.Second); {
	case s == -1:
		return Permanent
	case s <= 0:
		return 0
	case ns >= math.MaxInt64:
		return math.MaxInt64
	default:
		return time.Duration(math.Round(ns))
	}
}

// ParseFactor reads bantime.factor: a number, or arithmetic on numbers as in a formula. The result is
// finite; empty text gives 1.
func ParseFactor(s string) (float64, error) {
	if strings.TrimSpace(s) == "" {
		return 1, nil
	}
	f, err := parse(s, false)
	if err != nil {
		return 0, err
	}
	v, err := f.Eval(Vars{}, noRandom)
	if err != nil {
		return 0, err
	}
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return 0, &FormulaError{Formula: s, Msg: "not a finite number"}
	}
	return v, nil
}

// maxMultipliers is far above what a count of bans reaches; it bounds what a configuration can ask for.
const maxMultipliers = 1024

// ParseMultipliers reads bantime.multipliers: whole numbers separated by blanks. Empty text gives none.
func ParseMultipliers(s string) ([]float64, error) {
	words := strings.Fields(s)
	if len(words) > maxMultipliers {
		return nil, fmt.Errorf("%d multipliers, at most %d are of use", len(words), maxMultipliers)
	}
	var out []float64
	for _, w := range words {
		n, err := strconv.ParseInt(w, 10, 64)
		if err != nil {
			return nil, fmt.Errorf("multiplier %q is no whole number", w)
		}
		out = append(out, float64(n))
	}
	return out, nil
}

func noRandom() float64 { return 0 }
