package doctor

import "strings"

// commandsOf cuts a shell script into its simple commands, each a list of words. Quotes are taken off; a word
// that holds something the shell would replace keeps its sign, $ or `. What follows for and case up to their
// commands is left out, as are the patterns of a case and redirections.
func commandsOf(script string) [][]string {
	r := &scanner{text: script[:min(len(script), maxScript)]}
	for r.at < len(r.text) {
		r.step()
	}
	r.endCommand()
	return r.commands
}

// scanner is a walk over a script.
type scanner struct {
	text     string
	at       int
	word     strings.Builder
	inWord   bool
	redirect bool // the next word is where to
	depth    int  // brackets that are open
	ticked   bool // within backticks
	words    []string
	commands [][]string
	list     int // commands before the present line or ;
}

func (r *scanner) step() {
	c := r.text[r.at]
	r.at++
	switch c {
	case '\\':
		if r.at < len(r.text) {
			if r.text[r.at] != '\n' {
				r.add(r.text[r.at])
			}
			r.at++
		}
	case '\'', '"':
		r.quoted(c)
	case ' ', '\t', '\r':
		r.endWord()
	case '#':
		if r.inWord {
			r.add(c)
			return
		}
		if end := strings.IndexByte(r.text[r.at:], '\n'); end >= 0 {
			r.at += end
		} else {
			r.at = len(r.text)
		}
	case '|':
		r.endCommand()
	case '\n', ';':
		r.endCommand()
		r.list = len(r.commands)
	case '&':
		if r.at < 2 || r.text[r.at-2] != '>' && r.text[r.at-2] != '<' { // not >&2
			r.endCommand()
			r.list = len(r.commands)
		}
	case '<', '>':
		if tag := r.tag(c); tag > 0 {
			for range tag {
				r.add('$') // who is banned, a port: nothing that is known now
			}
			return
		}
		if isNumber(r.word.String()) {
			r.drop() // of the stream, as in 2>
		}
		r.endWord()
		r.redirect = true
	case '`':
		if r.ticked = !r.ticked; !r.ticked {
			r.endCommand()
			r.add('$')
			return
		}
		r.drop()
		r.endCommand()
	case '(':
		if r.inWord && r.word.String() != "$" && strings.HasPrefix(r.text[r.at:], ")") {
			r.at++
			r.endWord()
			r.words = append(r.words, "()")
			r.endCommand()
			return
		}
		r.depth++
		r.drop()
		r.endCommand()
	case ')':
		if r.depth == 0 { // the patterns of a case
			r.drop()
			r.words, r.commands = nil, r.commands[:r.list]
			return
		}
		r.depth--
		r.endCommand()
		r.add('$') // what follows goes on with the command that the brackets stood in
	default:
		r.add(c)
	}
}

func (r *scanner) add(c byte) {
	r.inWord = true
	r.word.WriteByte(c)
}

// quoted takes what quotes hold into the word.
func (r *scanner) quoted(quote byte) {
	r.inWord = true
	for r.at < len(r.text) {
		c := r.text[r.at]
		r.at++
		switch {
		case c == quote:
			return
		case c == '\\' && quote == '"' && r.at < len(r.text):
			r.add(r.text[r.at])
			r.at++
		default:
			r.add(c)
		}
	}
}

// tag gives the length of a tag that c begins, as <ip>, and passes it; 0 if there is none.
func (r *scanner) tag(c byte) int {
	if c != '<' {
		return 0
	}
	at := tag.FindStringIndex(r.text[r.at-1:])
	if at == nil || at[0] != 0 {
		return 0
	}
	r.at += at[1] - 1
	return at[1]
}

// drop forgets the word that has begun.
func (r *scanner) drop() {
	r.word.Reset()
	r.inWord = false
}

func (r *scanner) endWord() {
	if r.inWord && !r.redirect {
		r.words = append(r.words, r.word.String())
	}
	if r.inWord {
		r.redirect = false
	}
	r.drop()
}

func (r *scanner) endCommand() {
	r.endWord()
	r.redirect = false
	if len(r.words) > 0 && (r.words[0] == "for" || r.words[0] == "case" || r.words[0] == "function") {
		r.words = nil
	}
	if len(r.words) > 0 {
		r.commands = append(r.commands, r.words)
	}
	r.words = nil
}

func isNumber(s string) bool { return s != "" && strings.Trim(s, "0123456789") == "" }
