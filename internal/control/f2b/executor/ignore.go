package executor

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/palisade-agent/palisade/internal/config"
	"github.com/palisade-agent/palisade/internal/control/f2b"
	"github.com/palisade-agent/palisade/internal/control/f2b/pickle"
	"github.com/palisade-agent/palisade/internal/ident"
)

// ignored lists whom a jail ignores: networks and names first, then single addresses.
func ignored(entries []string) pickle.List {
	first, single := pickle.List{}, pickle.List{}
	for _, e := range entries {
		text := spelled(e)
		list := &first
		if isSingle(text) {
			list = &single
		}
		if !slices.Contains(*list, any(text)) {
			*list = append(*list, text)
		}
	}
	return append(first, single...)
}

// spelled is an entry of ignoreip as fail2ban writes it.
func spelled(entry string) string {
	if id := ident.Parse(maskless(entry)); id.IsAddr() {
		return id.String()
	}
	return entry
}

// maskless writes a network with a mask as one with a length.
func maskless(entry string) string {
	addr, mask, has := strings.Cut(entry, "/")
	m, err := netip.ParseAddr(mask)
	if !has || err != nil {
		return entry
	}
	bits := 0
	for _, b := range m.AsSlice() {
		for ; b&0x80 != 0; b <<= 1 {
			bits++
		}
		if b != 0 {
			return entry
		}
	}
	return addr + "/" + strconv.Itoa(bits)
}

func isSingle(text string) bool {
	_, err := netip.ParseAddr(text)
	return err == nil
}

// addIgnored adds entries to whom a jail ignores, each once.
func addIgnored(c *config.Jail, entries []string) {
	for _, e := range entries {
		if e != "" && !slices.ContainsFunc(c.IgnoreIP, func(x string) bool { return spelled(x) == spelled(e) }) {
			c.IgnoreIP = append(c.IgnoreIP, maskless(e))
		}
	}
}

// deleteIgnored takes an entry out.
func deleteIgnored(c *config.Jail, entry string) error {
	at := slices.IndexFunc(c.IgnoreIP, func(x string) bool { return spelled(x) == spelled(entry) })
	if at < 0 {
		return exception("ValueError", "list.remove(x): x not in list")
	}
	c.IgnoreIP = slices.Delete(c.IgnoreIP, at, at+1)
	return nil
}

// cacheOf is an ignorecache: its key, how many decisions it holds and for how many seconds; None without one.
func cacheOf(text string) any {
	if text == "" {
		return nil
	}
	spec, err := config.ParseSpec("ignorecache[" + text + "]")
	if err != nil {
		return nil
	}
	key, _ := spec.Param("key")
	count, age := int64(300), int64(300) // fail2ban's
	if s, ok := spec.Param("max-count"); ok {
		count, _ = strconv.ParseInt(s, 10, 64)
	}
	if s, ok := spec.Param("max-time"); ok {
		d, _ := config.ParseTime(s)
		age = int64(d / time.Second)
	}
	return pickle.List{key, count, age}
}

// checkCache refuses what is no ignorecache.
func checkCache(text string) error {
	if text == "" {
		return nil
	}
	spec, err := config.ParseSpec("ignorecache[" + text + "]")
	if err == nil {
		if _, ok := spec.Param("key"); ok {
			return nil
		}
	}
	return exception("ValueError", "expected option, wrong syntax at 0: %s", strings.Trim(f2b.Repr(text), "'"))
}
