package drawing

import (
	"fmt"
	"strings"
)

// parsed is what a reader of Graphviz's language finds: the part of its grammar that Dot writes, and no more.
type parsed struct {
	nodes, edges int
	known        map[string]bool
	ends         []string
	strings      []string // what stands between quotes, escapes as they are
}

type dotParser struct {
	parsed
	rest string
}

func parseDot(text string) (parsed, error) {
	p := &dotParser{parsed: parsed{known: map[string]bool{}}, rest: text}
	if p.word() != "digraph" || p.word() == "" || p.word() != "{" {
		return p.parsed, fmt.Errorf("no digraph")
	}
	if err := p.statements(0); err != nil {
		return p.parsed, fmt.Errorf("%w before %.80q", err, p.rest)
	}
	if p.word() != "" {
		return p.parsed, fmt.Errorf("something behind the graph: %.80q", p.rest)
	}
	return p.parsed, nil
}

// word is the next token; a string with its quotes.
func (p *dotParser) word() string {
	p.rest = strings.TrimLeft(p.rest, " \n")
	if p.rest == "" {
		return ""
	}
	end := 1
	switch c := p.rest[0]; {
	case c == '"':
		for ; end < len(p.rest) && p.rest[end] != '"'; end++ {
			if p.rest[end] == '\\' {
				end++
			}
		}
		end++
		if end > len(p.rest) {
			end = len(p.rest)
		}
		p.strings = append(p.strings, p.rest[1:end-1])
	case strings.HasPrefix(p.rest, "->"):
		end = 2
	case strings.IndexByte("{}[]=,;", c) < 0:
		for end < len(p.rest) && strings.IndexByte("{}[]=,; \n\"", p.rest[end]) < 0 {
			end++
		}
	}
	w := p.rest[:end]
	p.rest = p.rest[end:]
	return w
}

func (p *dotParser) statements(depth int) error {
	for {
		switch first := p.word(); first {
		case "}":
			return nil
		case "":
			return fmt.Errorf("the text ends within a graph")
		case "subgraph":
			if name := p.word(); !strings.HasPrefix(name, "cluster_") || p.known[name] {
				return fmt.Errorf("subgraph %s", name)
			} else {
				p.known[name] = true
			}
			if p.word() != "{" {
				return fmt.Errorf("a subgraph without a brace")
			}
			if err := p.statements(depth + 1); err != nil {
				return err
			}
		case "graph", "node", "edge":
			if err := p.attributes(p.word()); err != nil {
				return err
			}
		default:
			switch next := p.word(); next {
			case "=":
				if first != "label" || !strings.HasPrefix(p.word(), `"`) || p.word() != ";" {
					return fmt.Errorf("an attribute %s", first)
				}
			case "->":
				p.ends = append(p.ends, first, p.word())
				p.edges++
				if err := p.attributes(p.word()); err != nil {
					return err
				}
			default:
				if !strings.HasPrefix(first, "n") || p.known[first] {
					return fmt.Errorf("a statement that begins with %s", first)
				}
				p.known[first] = true
				p.nodes++
				if err := p.attributes(next); err != nil {
					return err
				}
			}
		}
	}
}

func (p *dotParser) attributes(open string) error {
	if open != "[" {
		return fmt.Errorf("%s where attributes begin", open)
	}
	for {
		name, is, v := p.word(), p.word(), p.word()
		if name == "" || strings.HasPrefix(name, `"`) || is != "=" || v == "" || strings.Contains("{}[]=,;", v) {
			return fmt.Errorf("attribute %s %s %s", name, is, v)
		}
		switch p.word() {
		case ",":
		case "]":
			if p.word() != ";" {
				return fmt.Errorf("no semicolon")
			}
			return nil
		default:
			return fmt.Errorf("attribute %s does not end", name)
		}
	}
}
