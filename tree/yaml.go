package tree

import (
	"strings"
)

// This is the part of YAML that the front matter of model cards is written in: mappings and lists by indentation,
// plain and quoted scalars, and lists in brackets. Text blocks and tags are skipped, anchors are text. What it does not
// understand it leaves out: the card is shown, never obeyed.

// value is a scalar, a list or a mapping.
type value struct {
	text string
	list []value
	keys []string // of a mapping, in order
	at   map[string]value
}

// get is the value below a path of keys; the zero value where there is none.
func (v value) get(keys ...string) value {
	for _, key := range keys {
		v = v.at[key]
	}
	return v
}

// texts is a scalar, or a list's scalars.
func (v value) texts() []string {
	if v.text != "" {
		return []string{v.text}
	}
	var list []string
	for _, x := range v.list {
		if x.text != "" {
			list = append(list, x.text)
		}
	}
	return list
}

// frontMatter is the YAML between two lines of three dashes at the start of a document, and the rest of it.
func frontMatter(text string) (value, string) {
	text = strings.ReplaceAll(strings.TrimPrefix(text, "\ufeff"), "\r\n", "\n")
	rest, ok := strings.CutPrefix(text, "---\n")
	if !ok {
		return value{}, text
	}
	matter, body, ok := strings.Cut(rest, "\n---")
	if !ok {
		return value{}, text
	}
	return yamlDocument(matter), body
}

// yamlDocument is the mapping or list of a whole text.
func yamlDocument(text string) value {
	text = strings.ReplaceAll(strings.TrimPrefix(text, "\ufeff"), "\r\n", "\n")
	p := &yaml{}
	for line := range strings.SplitSeq(text, "\n") {
		bare := strings.TrimLeft(line, " ")
		if bare == "" || strings.HasPrefix(bare, "#") || bare == "---" || strings.HasPrefix(bare, "%YAML") {
			continue
		}
		p.lines = append(p.lines, yamlLine{len(line) - len(bare), strings.TrimRight(bare, " \t")})
	}
	return p.block(0, 0)
}

type yamlLine struct {
	indent int
	text   string
}

type yaml struct {
	lines []yamlLine
	next  int
}

// maxDepth bounds how deep a card is looked into.
const maxDepth = 16

// block reads the lines that are indented by at least indent.
func (p *yaml) block(indent, depth int) value {
	var v value
	if p.next >= len(p.lines) {
		return v
	}
	own := p.lines[p.next].indent
	for p.next < len(p.lines) {
		l := p.lines[p.next]
		if l.indent < indent || l.indent < own {
			break
		}
		if l.indent > own || depth > maxDepth {
			p.next++
			continue
		}
		if l.text == "-" || strings.HasPrefix(l.text, "- ") {
			inner := strings.TrimLeft(strings.TrimPrefix(l.text, "-"), " ")
			if key, _, ok := yamlKey(inner); ok && key != "" { // a mapping that begins on the dash's line
				p.lines[p.next] = yamlLine{own + len(l.text) - len(inner), inner}
				v.list = append(v.list, p.block(own+1, depth+1))
				continue
			}
			p.next++
			if inner == "" {
				v.list = append(v.list, p.block(own+1, depth+1))
			} else {
				v.list = append(v.list, yamlScalar(inner))
			}
			continue
		}
		key, rest, ok := yamlKey(l.text)
		p.next++
		if !ok {
			continue
		}
		var x value
		switch {
		case rest == "" || strings.HasPrefix(rest, "|") || strings.HasPrefix(rest, ">"):
			if p.next < len(p.lines) {
				n := p.lines[p.next]
				switch {
				case n.indent > own:
					x = p.block(own+1, depth+1)
				case n.indent == own && strings.HasPrefix(n.text, "-"): // a list may stand as far left as its key
					x = p.items(own, depth+1)
				}
			}
			if rest != "" {
				x = value{}
			}
		default:
			x = yamlScalar(rest)
		}
		if v.at == nil {
			v.at = map[string]value{}
		}
		if _, twice := v.at[key]; !twice {
			v.keys = append(v.keys, key)
			v.at[key] = x
		}
	}
	return v
}

// items reads a list that is indented like the key it belongs to.
func (p *yaml) items(indent, depth int) value {
	end := p.next
	for end < len(p.lines) && (p.lines[end].indent > indent || p.lines[end].indent == indent && strings.HasPrefix(p.lines[end].text, "-")) {
		end++
	}
	inner := &yaml{lines: p.lines[p.next:end]}
	p.next = end
	return inner.block(indent, depth)
}

// yamlKey takes the key off a line of a mapping.
func yamlKey(line string) (key, rest string, ok bool) {
	if line == "" || line[0] == '[' || line[0] == '{' {
		return "", "", false
	}
	if q := line[0]; q == '"' || q == '\'' {
		end := strings.IndexByte(line[1:], q)
		if end < 0 || !strings.HasPrefix(line[end+2:], ":") {
			return "", "", false
		}
		return line[1 : end+1], strings.TrimSpace(line[end+3:]), true
	}
	if strings.HasSuffix(line, ":") && !strings.Contains(line, ": ") {
		return line[:len(line)-1], "", true
	}
	key, rest, ok = strings.Cut(line, ": ")
	return strings.TrimSpace(key), strings.TrimSpace(rest), ok
}

// yamlScalar is a scalar, or a list of them in brackets.
func yamlScalar(s string) value {
	if strings.HasPrefix(s, "!") { // a tag, which a program that trusts the text would obey
		_, s, _ = strings.Cut(s, " ")
		s = strings.TrimSpace(s)
	}
	if inner, ok := strings.CutPrefix(s, "["); ok && strings.HasSuffix(inner, "]") {
		var v value
		for part := range strings.SplitSeq(strings.TrimSuffix(inner, "]"), ",") {
			if x := yamlScalar(strings.TrimSpace(part)); x.text != "" {
				v.list = append(v.list, x)
			}
		}
		return v
	}
	if len(s) >= 2 && (s[0] == '"' || s[0] == '\'') && s[len(s)-1] == s[0] {
		return value{text: s[1 : len(s)-1]}
	}
	if at := strings.Index(s, " #"); at >= 0 {
		s = strings.TrimSpace(s[:at])
	}
	if s == "null" || s == "~" {
		return value{}
	}
	return value{text: s}
}
