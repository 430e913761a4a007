// Package roff writes pages of a manual, in the macros of man(7) that both groff and mandoc read.
//
// Text is what people read, never markup: whatever roff would take for a request or an escape is escaped. Two words of
// a page's own make it bold or italic, Bold and Italic.
package roff

import (
	"fmt"
	"strings"
	"unicode"
)

// Inline is text that is escaped already, with its fonts.
type Inline string

// Plain is text as it stands.
func Plain(text string) Inline { return Inline(escape(text)) }

// Bold is what is typed as it stands: a command, a flag.
func Bold(text string) Inline { return Inline(`\fB` + escape(text) + `\fP`) }

// Italic is what stands for something else: STORE, SIZE.
func Italic(text string) Inline { return Inline(`\fI` + escape(text) + `\fP`) }

// Page is a page under construction.
type Page struct {
	b     strings.Builder
	begun bool // a section whose first paragraph has not come
}

// New begins a page: its name, its section (1 commands, 5 files, 8 administration), the release that it is about and
// the title of the book.
func New(name, section, release, book string) *Page {
	p := &Page{}
	fmt.Fprintf(&p.b, ".TH %s %s \"\" %s %s\n", quote(strings.ToUpper(name)), quote(section), quote(release), quote(book))
	p.b.WriteString(".nh\n.ad l\n") // no hyphens and no gaps in what is copied from the page
	return p
}

// String is the page so far.
func (p *Page) String() string { return p.b.String() }

// Section begins a section, in capitals.
func (p *Page) Section(title string) {
	p.b.WriteString(".SH " + quote(strings.ToUpper(title)) + "\n")
	p.begun = true
}

// Part begins a part of a section.
func (p *Page) Part(title string) {
	p.b.WriteString(".SS " + quote(title) + "\n")
	p.begun = true
}

// Name is the section NAME, which whatis(1) and apropos(1) read.
func (p *Page) Name(name, does string) {
	p.Section("NAME")
	p.apart()
	p.line(Inline(escape(name) + ` \- ` + escape(does)))
}

// Paragraph is a paragraph of parts that follow each other without a space.
func (p *Page) Paragraph(parts ...Inline) {
	p.apart()
	p.line(parts...)
}

// Item is an entry of a list: what it is about, and the text about it.
func (p *Page) Item(tag []Inline, text ...Inline) {
	p.b.WriteString(".TP\n")
	p.begun = false
	p.line(tag...)
	p.line(text...)
}

// Example is lines that keep their breaks.
func (p *Page) Example(text string) {
	p.apart()
	p.b.WriteString(".RS 4\n.EX\n")
	for line := range strings.Lines(strings.Trim(text, "\n")) {
		p.line(Plain(strings.TrimRight(line, "\n")))
	}
	p.b.WriteString(".EE\n.RE\n")
}

// Text is prose as it stands in a help text: paragraphs with empty lines between, which the page fills anew; indented
// ones are examples.
func (p *Page) Text(text string) {
	for _, block := range strings.Split(text, "\n\n") {
		if strings.TrimSpace(block) == "" {
			continue
		}
		if strings.HasPrefix(strings.TrimLeft(block, "\n"), " ") {
			p.Example(block)
			continue
		}
		p.Paragraph(Plain(strings.Join(strings.Fields(block), " ")))
	}
}

// apart begins a paragraph; the first of a section has begun with it.
func (p *Page) apart() {
	if !p.begun {
		p.b.WriteString(".PP\n")
	}
	p.begun = false
}

// line is one line of input. An empty one would be a break of its own.
func (p *Page) line(parts ...Inline) {
	var b strings.Builder
	for _, part := range parts {
		b.WriteString(string(part))
	}
	text := b.String()
	if text == "" {
		text = `\&`
	}
	if text[0] == '.' || text[0] == '\'' { // where a request would begin
		text = `\&` + text
	}
	p.b.WriteString(text + "\n")
}

// escapes are the characters that are not themselves to roff, or that a terminal shows as another: a hyphen is to be
// the one that can be typed.
var escapes = strings.NewReplacer(`\`, `\e`, "-", `\-`, "'", `\(aq`, "`", `\(ga`, "^", `\(ha`, "~", `\(ti`, "\n", " ", "\t", "    ")

// escape is text as roff's input, in ASCII.
func escape(text string) string {
	text = escapes.Replace(text)
	var b strings.Builder
	for _, r := range text {
		switch {
		case r < 0x80 && unicode.IsPrint(r):
			b.WriteRune(r)
		case r >= 0x80:
			fmt.Fprintf(&b, `\[u%04X]`, r)
		}
	}
	return b.String()
}

// quote is an argument of a request.
func quote(text string) string { return `"` + strings.ReplaceAll(escape(text), `"`, `\(dq`) + `"` }
