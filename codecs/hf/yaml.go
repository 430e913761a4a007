package hf

import (
	"math"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/isomerfs/isomerfs/fault"
)

// yamlText is the value of a YAML text, as Python's yaml.safe_load gives it: version 1.1, so that yes and on are true
// and 0x10 is 16. Mappings are Objects, whose keys are texts. Dates stay texts. Anchors, tags, keys that are no
// scalars and several documents are not read: they are Unsupported.
func yamlText(text string) (v any, err error) {
	p := &yaml{}
	for line := range strings.SplitSeq(strings.TrimSuffix(text, "\n"), "\n") {
		p.lines = append(p.lines, strings.TrimRight(line, "\r"))
	}
	v, err = p.block(0)
	if err == nil && p.blank() {
		err = p.wrong("more than one value")
	}
	return v, err
}

// maxYAML bounds the values of a text.
const maxYAML = 1 << 16

// yaml reads lines; at is the one it stands at.
type yaml struct {
	lines  []string
	at     int
	depth  int
	values int
}

func (p *yaml) wrong(format string, args ...any) error {
	return fault.New(fault.Unsupported, "line %d of the card's YAML: "+format, append([]any{p.at + 1}, args...)...)
}

func indentOf(line string) int { return len(line) - len(strings.TrimLeft(line, " ")) }

// blank skips lines of nothing and of comments, and reports whether a line is left.
func (p *yaml) blank() bool {
	for ; p.at < len(p.lines); p.at++ {
		if bare := strings.TrimLeft(p.lines[p.at], " \t"); bare != "" && bare[0] != '#' {
			return true
		}
	}
	return false
}

// block is the value whose lines are indented by at least indent; nil where there is none.
func (p *yaml) block(indent int) (any, error) {
	if !p.blank() || indentOf(p.lines[p.at]) < indent {
		return nil, nil
	}
	if p.depth++; p.depth > maxDepth {
		return nil, p.wrong("values within more than %d others", maxDepth)
	}
	defer func() { p.depth-- }()
	if p.values++; p.values > maxYAML {
		return nil, p.wrong("more than %d values", maxYAML)
	}
	line := p.lines[p.at]
	own := indentOf(line)
	if strings.HasPrefix(line[own:], "\t") {
		return nil, p.wrong("a tab before a value")
	}
	if dashed(line[own:]) {
		return p.list(own)
	}
	if _, _, ok, err := p.key(line[own:]); err != nil {
		return nil, err
	} else if ok {
		return p.mapping(own)
	}
	return p.scalar(own, own-1)
}

func dashed(text string) bool { return text == "-" || strings.HasPrefix(text, "- ") }

// list reads the items that begin with a dash in a column.
func (p *yaml) list(own int) (any, error) {
	list := []any{}
	for p.blank() && indentOf(p.lines[p.at]) == own && dashed(p.lines[p.at][own:]) {
		rest := p.lines[p.at][own+1:]
		if bare := strings.TrimLeft(rest, " "); bare == "" || bare[0] == '#' {
			p.at++
		} else {
			p.lines[p.at] = strings.Repeat(" ", own+1) + rest // what follows the dash stands in its own column
		}
		v, err := p.item(own)
		if err != nil {
			return nil, err
		}
		list = append(list, v)
	}
	if p.blank() && indentOf(p.lines[p.at]) > own {
		return nil, p.wrong("an indentation that belongs to nothing")
	}
	return list, nil
}

// item is the value behind a dash: a block that stands right of it, or a text block.
func (p *yaml) item(own int) (any, error) {
	if p.at < len(p.lines) {
		line := p.lines[p.at]
		if col := indentOf(line); col > own && (strings.HasPrefix(line[col:], "|") || strings.HasPrefix(line[col:], ">")) {
			return p.scalar(col, own)
		}
	}
	return p.block(own + 1)
}

// mapping reads the members whose keys begin in a column.
func (p *yaml) mapping(own int) (any, error) {
	o := &Object{}
	for p.blank() && indentOf(p.lines[p.at]) == own {
		line := p.lines[p.at]
		key, from, ok, err := p.key(line[own:])
		if err != nil {
			return nil, err
		}
		if !ok {
			return nil, p.wrong("%.40q is no member of a mapping", line)
		}
		from += own
		var v any
		rest := strings.TrimLeft(line[from:], " \t")
		if rest == "" || rest[0] == '#' {
			p.at++
			if p.blank() && indentOf(p.lines[p.at]) == own && dashed(p.lines[p.at][own:]) {
				v, err = p.list(own) // may stand as far left as its key
			} else {
				v, err = p.block(own + 1)
			}
		} else {
			if p.values++; p.values > maxYAML {
				return nil, p.wrong("more than %d values", maxYAML)
			}
			v, err = p.scalar(len(line)-len(rest), own)
		}
		if err != nil {
			return nil, err
		}
		o.Set(key, v)
	}
	if p.blank() && indentOf(p.lines[p.at]) > own {
		return nil, p.wrong("an indentation that belongs to nothing")
	}
	return o, nil
}

// key takes a key and its colon off a line; false where the line does not begin with one. from is just past the colon.
func (p *yaml) key(line string) (key string, from int, ok bool, err error) {
	switch line[0] {
	case '"', '\'':
		text, n, err := quoted(line)
		if err != nil { // a text of several lines is no key
			return "", 0, false, nil
		}
		rest := strings.TrimLeft(line[n:], " ")
		if strings.HasPrefix(rest, ":") && (len(rest) == 1 || rest[1] == ' ' || rest[1] == '\t') {
			return text, len(line) - len(rest) + 1, true, nil
		}
		return "", 0, false, nil
	case '[', '{', '|', '>':
		return "", 0, false, nil
	case '&', '*', '!', '%', '@', '`', ']', '}', ',':
		return "", 0, false, p.wrong("a value that begins with %c", line[0])
	case '?':
		if len(line) == 1 || line[1] == ' ' {
			return "", 0, false, p.wrong("a key behind a question mark")
		}
	}
	for i := 0; i < len(line); i++ {
		switch {
		case line[i] == '#' && i > 0 && (line[i-1] == ' ' || line[i-1] == '\t'):
			return "", 0, false, nil
		case line[i] == ':' && (i+1 == len(line) || line[i+1] == ' ' || line[i+1] == '\t'):
			return strings.TrimRight(line[:i], " \t"), i + 1, true, nil
		}
	}
	return "", 0, false, nil
}

// scalar is a value that begins in a column of the line: a plain or quoted text, a list in brackets or a mapping in
// braces, a text block. It goes on over lines that are indented by more than parent.
func (p *yaml) scalar(col, parent int) (any, error) {
	switch c := p.lines[p.at][col]; c {
	case '|', '>':
		return p.text(col, parent)
	case '"', '\'', '[', '{':
		f := &flow{text: strings.Join(append([]string{p.lines[p.at][col:]}, p.lines[p.at+1:]...), "\n"), yaml: p}
		v, err := f.value()
		if err != nil {
			return nil, err
		}
		rest := strings.TrimLeft(f.text[f.at:], " \t")
		if rest != "" && rest[0] != '\n' && (rest[0] != '#' || len(f.text)-len(rest) == f.at) {
			return nil, p.wrong("%.40q behind a value", rest)
		}
		p.at += strings.Count(f.text[:f.at], "\n") + 1
		return v, nil
	case '&', '*', '!', '%', '@', '`':
		return nil, p.wrong("a value that begins with %c", c)
	}
	first := uncommented(p.lines[p.at][col:])
	if dashed(first) {
		return nil, p.wrong("a list behind a key")
	}
	if strings.Contains(first, ": ") || strings.HasSuffix(first, ":") {
		return nil, p.wrong("a colon within a plain text")
	}
	text, gap := first, 0
	commented := first != strings.TrimRight(p.lines[p.at][col:], " \t")
	for p.at++; p.at < len(p.lines); p.at++ {
		line := p.lines[p.at]
		bare := strings.Trim(line, " \t")
		if bare == "" {
			gap++
			continue
		}
		if indentOf(line) <= parent || bare[0] == '#' || commented {
			break
		}
		more := uncommented(bare)
		if strings.Contains(more, ": ") || strings.HasSuffix(more, ":") {
			return nil, p.wrong("a colon within a plain text")
		}
		if gap > 0 {
			text += strings.Repeat("\n", gap) + more
		} else {
			text += " " + more
		}
		gap, commented = 0, more != bare
	}
	return plainValue(text), nil
}

// uncommented is a line without the comment at its end.
func uncommented(line string) string {
	for i := 1; i < len(line); i++ {
		if line[i] == '#' && (line[i-1] == ' ' || line[i-1] == '\t') {
			line = line[:i]
			break
		}
	}
	return strings.TrimRight(line, " \t")
}

// text is a text block: behind | each line stands for itself, behind > they are folded.
func (p *yaml) text(col, parent int) (any, error) {
	head := uncommented(p.lines[p.at][col:])
	folded := head[0] == '>'
	chomp, indent := byte(0), 0
	for i := 1; i < len(head); i++ {
		switch c := head[i]; {
		case c == '+' || c == '-':
			chomp = c
		case '1' <= c && c <= '9':
			indent = max(parent, 0) + int(c-'0')
		default:
			return nil, p.wrong("%.40q", head)
		}
	}
	p.at++
	var lines []string
	for ; p.at < len(p.lines); p.at++ {
		line := p.lines[p.at]
		if strings.Trim(line, " ") == "" {
			lines = append(lines, line[min(len(line), max(indent, 0)):])
			if indent == 0 {
				lines[len(lines)-1] = ""
			}
			continue
		}
		if indent == 0 {
			indent = indentOf(line)
		}
		if indentOf(line) < indent || indent <= parent {
			break
		}
		lines = append(lines, line[indent:])
	}
	end := len(lines)
	for end > 0 && lines[end-1] == "" {
		end--
	}
	trailing := len(lines) - end
	indented := func(line string) bool { return line[0] == ' ' || line[0] == '\t' }
	var b strings.Builder
	for i := 0; i < end; {
		line := lines[i]
		next := i + 1
		for next < end && lines[next] == "" {
			next++
		}
		b.WriteString(line)
		breaks := next - i
		switch {
		case next == end:
			breaks = 0
		case folded && line != "" && !indented(line) && !indented(lines[next]):
			if breaks--; breaks == 0 {
				b.WriteByte(' ')
			}
		}
		b.WriteString(strings.Repeat("\n", breaks))
		i = next
	}
	switch {
	case end == 0 && chomp != '+':
	case chomp == '+':
		b.WriteString(strings.Repeat("\n", trailing+min(end, 1)))
	case chomp == 0:
		b.WriteByte('\n')
	}
	return b.String(), nil
}

// flow reads values that are marked by brackets, braces and quotes.
type flow struct {
	text string
	at   int
	yaml *yaml
}

// space skips white space, line breaks and comments.
func (f *flow) space() {
	for f.at < len(f.text) {
		switch c := f.text[f.at]; {
		case c == ' ' || c == '\n' || c == '\t':
			f.at++
		case c == '#' && f.at > 0 && strings.IndexByte(" \n\t", f.text[f.at-1]) >= 0:
			for f.at < len(f.text) && f.text[f.at] != '\n' {
				f.at++
			}
		default:
			return
		}
	}
}

func (f *flow) value() (any, error) {
	p := f.yaml
	if p.depth++; p.depth > maxDepth {
		return nil, p.wrong("values within more than %d others", maxDepth)
	}
	defer func() { p.depth-- }()
	if p.values++; p.values > maxYAML {
		return nil, p.wrong("more than %d values", maxYAML)
	}
	if f.at >= len(f.text) {
		return nil, p.wrong("the end within brackets")
	}
	switch c := f.text[f.at]; c {
	case '"', '\'':
		text, n, err := quoted(f.text[f.at:])
		f.at += n
		return text, err
	case '[', '{':
		return f.collection(c)
	case '&', '*', '!', '%', '@', '`', '|', '>':
		return nil, p.wrong("a value that begins with %c", c)
	}
	begin := f.at
	for f.at < len(f.text) {
		c := f.text[f.at]
		if strings.IndexByte(",[]{}", c) >= 0 || c == '#' && strings.IndexByte(" \n\t", f.text[f.at-1]) >= 0 ||
			c == ':' && (f.at+1 == len(f.text) || strings.IndexByte(" \n\t,[]{}", f.text[f.at+1]) >= 0) {
			break
		}
		f.at++
	}
	return plainValue(flowed(f.text[begin:f.at])), nil
}

// flowed is a plain text of several lines within brackets: a line break is a space, and each empty line one line break.
func flowed(text string) string {
	var b strings.Builder
	empty := -1 // lines since the last that is not; -1 before any
	for line := range strings.SplitSeq(text, "\n") {
		line = strings.Trim(line, " \t")
		switch {
		case line == "" && empty >= 0:
			empty++
		case line == "":
		default:
			if empty == 0 {
				b.WriteByte(' ')
			} else if empty > 0 {
				b.WriteString(strings.Repeat("\n", empty))
			}
			b.WriteString(line)
			empty = 0
		}
	}
	return b.String()
}

// collection reads what stands within brackets or braces.
func (f *flow) collection(open byte) (any, error) {
	list, o := []any{}, &Object{}
	end := byte(']')
	if open == '{' {
		end = '}'
	}
	f.at++
	for {
		f.space()
		if f.at >= len(f.text) {
			return nil, f.yaml.wrong("the end within brackets")
		}
		if f.text[f.at] == end {
			f.at++
			break
		}
		v, err := f.value()
		if err != nil {
			return nil, err
		}
		f.space()
		if f.at < len(f.text) && f.text[f.at] == ':' {
			if open == '[' {
				return nil, f.yaml.wrong("a pair within brackets")
			}
			f.at++
			f.space()
			var inner any
			if f.at < len(f.text) && f.text[f.at] != ',' && f.text[f.at] != end {
				if inner, err = f.value(); err != nil {
					return nil, err
				}
			}
			key, ok := v.(string)
			if !ok {
				return nil, f.yaml.wrong("a key that is no text")
			}
			o.Set(key, inner)
		} else if open == '{' {
			return nil, f.yaml.wrong("a member without its colon")
		}
		list = append(list, v)
		f.space()
		if f.at < len(f.text) && f.text[f.at] == ',' {
			f.at++
		} else if f.at >= len(f.text) || f.text[f.at] != end {
			return nil, f.yaml.wrong("a list that does not go on")
		}
	}
	if open == '{' {
		return o, nil
	}
	return list, nil
}

// quoted is a text in quotes and the bytes that it takes. Line breaks within it are folded.
func quoted(text string) (string, int, error) {
	quote := text[0]
	var b strings.Builder
	fold := func(i int) int { // from a line break at i to what follows, past the white space around it
		kept := strings.TrimRight(b.String(), " \t")
		b.Reset()
		b.WriteString(kept)
		breaks := 0
		for i < len(text) && strings.IndexByte(" \t\n", text[i]) >= 0 {
			if text[i] == '\n' {
				breaks++
			}
			i++
		}
		if breaks == 1 {
			b.WriteByte(' ')
		} else {
			b.WriteString(strings.Repeat("\n", breaks-1))
		}
		return i
	}
	for i := 1; i < len(text); {
		c := text[i]
		switch {
		case c == quote && quote == '\'' && i+1 < len(text) && text[i+1] == '\'':
			b.WriteByte('\'')
			i += 2
		case c == quote:
			return b.String(), i + 1, nil
		case c == '\n':
			i = fold(i)
		case c == '\\' && quote == '"' && i+1 < len(text):
			r, n, ok := yamlEscape(text[i+1:])
			if !ok {
				return "", i, fault.New(fault.Unsupported, "the escape %.6q in the card's YAML", text[i:])
			}
			if n == 0 { // a line break that is none
				for i += 2; i < len(text) && (text[i] == ' ' || text[i] == '\t'); i++ {
				}
				continue
			}
			b.WriteRune(r)
			i += 1 + n
		default:
			b.WriteByte(c)
			i++
		}
	}
	return "", len(text), fault.New(fault.Malformed, "a text in the card's YAML lacks its closing quote")
}

// yamlEscape is the character of an escape, and the bytes behind the backslash that it takes: 0 for a line break.
func yamlEscape(text string) (rune, int, bool) {
	if text[0] == '\n' {
		return 0, 0, true
	}
	if i := strings.IndexByte("0abt\tnvfre \"/\\N_LP", text[0]); i >= 0 {
		return []rune("\x00\a\b\t\t\n\v\f\r\x1b \"/\\\u0085\u00a0\u2028\u2029")[i], 1, true
	}
	size := map[byte]int{'x': 2, 'u': 4, 'U': 8}[text[0]]
	if size == 0 || len(text) < 1+size {
		return 0, 0, false
	}
	n, err := strconv.ParseUint(text[1:1+size], 16, 32)
	if err != nil || !utf8.ValidRune(rune(n)) {
		return 0, 0, false
	}
	return rune(n), 1 + size, true
}

var (
	yamlInt   = regexp.MustCompile(`^[-+]?(0b[01_]+|0x[0-9a-fA-F_]+|0[0-7_]*|[1-9][0-9_]*)$`)
	yamlFloat = regexp.MustCompile(`^[-+]?([0-9][0-9_]*\.[0-9_]*([eE][-+][0-9]+)?|\.[0-9][0-9_]*([eE][-+][0-9]+)?)$`)
)

// plainValue is what a text without quotes means.
func plainValue(text string) any {
	switch text {
	case "", "~", "null", "Null", "NULL":
		return nil
	case "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON":
		return true
	case "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF":
		return false
	case ".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF":
		return math.Inf(1)
	case "-.inf", "-.Inf", "-.INF":
		return math.Inf(-1)
	case ".nan", ".NaN", ".NAN":
		return math.NaN()
	}
	bare := strings.ReplaceAll(text, "_", "")
	if yamlInt.MatchString(text) {
		sign, digits := "", bare
		if digits[0] == '-' || digits[0] == '+' {
			sign, digits = digits[:1], digits[1:]
		}
		if len(digits) > 1 && digits[0] == '0' && digits[1] >= '0' && digits[1] <= '9' {
			digits = "0o" + digits[1:]
		}
		if n, err := strconv.ParseInt(strings.TrimPrefix(sign, "+")+digits, 0, 64); err == nil {
			return n
		}
	}
	if yamlFloat.MatchString(text) {
		if f, err := strconv.ParseFloat(bare, 64); err == nil {
			return f
		}
	}
	return text
}
