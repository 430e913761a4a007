package roff

import "testing"

// TestPage: what people write comes out as it stands, whatever it would mean to roff.
func TestPage(t *testing.T) {
	p := New("thing", "1", `v1 "beta"`, "Things")
	p.Name("thing", "does it")
	p.Section("Options")
	p.Item([]Inline{Bold("--to"), Plain(" "), Italic("FORMAT/PRECISION")}, Plain("the view, as in 'ls'"))
	p.Text(".so /etc/passwd\n\nC:\\temp\nand ~ and 5 %\n\n  thing --to x \\\n    | cat\n\n")
	p.Paragraph()
	p.Section("more")
	p.Paragraph(Plain("first"))
	p.Paragraph(Plain("second"))
	const want = `.TH "THING" "1" "" "v1 \(dqbeta\(dq" "Things"
.nh
.ad l
.SH "NAME"
thing \- does it
.SH "OPTIONS"
.TP
\fB\-\-to\fP \fIFORMAT/PRECISION\fP
the view, as in \(aqls\(aq
.PP
\&.so /etc/passwd
.PP
C:\etemp and \(ti and 5 %
.PP
.RS 4
.EX
  thing \-\-to x \e
    | cat
.EE
.RE
.PP
\&
.SH "MORE"
first
.PP
second
`
	if got := p.String(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestEscape(t *testing.T) {
	for text, want := range map[string]string{
		"":             "",
		"a\x00b\x1b[m": "ab[m",
		"µ → é":        `\[u00B5] \[u2192] \[u00E9]`,
		"a\tb\nc":      "a    b c",
		"`x^2`":        `\(gax\(ha2\(ga`,
	} {
		if got := escape(text); got != want {
			t.Errorf("escape(%q) = %q, want %q", text, got, want)
		}
	}
}
