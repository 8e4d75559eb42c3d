package filter

import (
	"maps"
	"slices"
	"time"

	"github.com/palisade-agent/palisade/internal/ident"
)

// The limits of a session's memory of connections. The first two are fail2ban's; the last is ours,
// since a client could otherwise make one connection grow for five minutes. A failure that is made
// up of more lines keeps the last of them.
const (
	maxConnections     = 100
	connectionLifetime = 5 * time.Minute
	maxRemembered      = 100 // lines, and users, of one connection
)

// record is what is known of one failure or one connection: the values of all its lines, the later
// over the earlier.
type record struct {
	fields  fields
	names   []string   // with Options.Detail: all groups by name, see Match.Groups
	users   []string   // all users seen, no one twice
	lines   []textLine // the failure's lines
	held    []textLine // lines that were no failure, kept for one that may follow
	pending bool       // a failure happened, whose ID is not known yet
	ip      ident.ID   // the address, where the ID is something else
}

func (r *record) addUser(v Value) {
	if v.empty() || slices.Contains(r.users, v.Text) || len(r.users) >= maxRemembered {
		return
	}
	r.users = append(r.users, v.Text)
	if r.names != nil && !slices.Contains(r.names, "users") {
		r.names = append(r.names, "users")
	}
}

// unset forgets a group.
func (r *record) unset(name string) {
	delete(r.fields, name)
	r.names = without(r.names, name)
}

// addNames adds the names of groups that took part in a later hit.
func (r *record) addNames(names []string, hit fields) {
	for _, name := range names {
		if _, set := hit[name]; set && !slices.Contains(r.names, name) {
			r.names = append(r.names, name)
		}
	}
}

// without gives names without one of them; the list may be shared and stays as it is.
func without(names []string, name string) []string {
	i := slices.Index(names, name)
	if i < 0 {
		return names
	}
	return slices.Concat(names[:i], names[i+1:])
}

// captures are the values as a match hands them out.
func (r *record) captures() map[string]Value {
	c := r.fields.clone()
	if len(r.users) > 0 {
		c["users"] = Value{Text: pythonSet(r.users), Parts: slices.Clone(r.users)}
	}
	return c
}

// appendLines adds to a copy, as earlier matches hold the old list, and keeps the newest.
func appendLines(old, more []textLine) []textLine {
	all := slices.Concat(old, more)
	return all[max(0, len(all)-maxRemembered):]
}

// connections remembers what earlier lines said of connections that are still open, by the text of
// the group mlfid.
type connections struct {
	byID  map[string]*connection
	order []*connection // oldest first
}

type connection struct {
	id      string
	record  *record
	expires time.Time
}

// get finds a connection that is not yet too old.
func (c *connections) get(id string, now time.Time) *record {
	e := c.byID[id]
	if e == nil {
		return nil
	}
	if !e.expires.After(now) {
		c.remove(id)
		return nil
	}
	return e.record
}

// put remembers a connection that is not there yet. In a full memory the oldest go: all that expired
// and one more.
func (c *connections) put(id string, r *record, now time.Time) {
	if len(c.order) >= maxConnections {
		for len(c.order) > 0 {
			oldest := c.order[0]
			c.remove(oldest.id)
			if oldest.expires.After(now) && len(c.order) < maxConnections {
				break
			}
		}
	}
	if c.byID == nil {
		c.byID = map[string]*connection{}
	}
	e := &connection{id, r, now.Add(connectionLifetime)}
	c.byID[id] = e
	c.order = append(c.order, e)
}

func (c *connections) remove(id string) {
	e := c.byID[id]
	if e == nil {
		return
	}
	delete(c.byID, id)
	i := slices.Index(c.order, e)
	c.order = slices.Delete(c.order, i, i+1)
}

// merge joins a hit with what is known of its connection and says what the hit means then. A hit is
// one of three things: a failure; no failure by itself (nofail), but worth remembering; the end of a
// connection (mlfforget) with either. A nofail hit that gained something (mlfgained: a login that
// succeeded) makes earlier pending failures of the connection harmless. That is taken back where a
// failure is pending or the connection has tried more than one user: somebody who knows one password
// must not be able to guess at another.
//
// The record returned stays the connection's: what is set in it is remembered.
//
// The names are those of the hit's groups, if anybody wants to know them.
func (c *connections) merge(id string, hit fields, names []string, lines []textLine, now time.Time) (r *record, nofail bool) {
	gained := hit.set("mlfgained")
	if gained && !hit.set("nofail") {
		hit["nofail"] = hit["mlfgained"]
	}
	nofail = hit.set("nofail")
	forget := hit.set("mlfforget")
	delete(hit, "mlfforget")
	names = without(names, "mlfforget")

	if r = c.get(id, now); r != nil {
		r.addUser(hit["user"])
		wasNofail := r.fields.set("nofail") || r.fields.set("mlfgained")
		r.unset("nofail")
		r.unset("mlfgained")
		if gained {
			r.pending = false
		}
		if !wasNofail && !r.pending {
			r.lines = nil // they have been reported
		}
		maps.Copy(r.fields, hit)
		r.addNames(names, hit)
		if forget {
			c.remove(id)
		}
	} else {
		r = &record{fields: hit, names: names}
		if !forget {
			r.addUser(hit["user"])
			c.put(id, r, now)
		}
	}
	if r.pending || len(r.users) > 1 {
		r.unset("nofail")
		r.unset("mlfgained")
		nofail = false
	}
	r.pending = false
	switch {
	case !nofail:
		r.lines = appendLines(appendLines(r.held, r.lines), lines)
		r.held = nil
	case !forget:
		r.held = appendLines(r.held, lines)
	}
	return r, nofail
}
