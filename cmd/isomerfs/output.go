package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"text/tabwriter"
	"unicode"
	"unicode/utf8"

	"github.com/dustin/go-humanize"
	"github.com/mattn/go-isatty"
	"github.com/spf13/cobra"
)

// format is how a command prints its result.
type format struct{ json, quiet bool }

// formatFlags adds --json and -q to a command. names says what -q prints.
func formatFlags(cmd *cobra.Command, names string) *format {
	f := &format{}
	cmd.Flags().BoolVar(&f.json, "json", false, "print JSON")
	cmd.Flags().BoolVarP(&f.quiet, "quiet", "q", false, "print "+names+" alone, one a line")
	return f
}

// listing prints rows as they come: one JSON array, names alone, or a table.
type listing[T any] struct {
	format *format
	name   func(T) string   // what -q prints
	head   []string         // the table's first line; nil for none
	cells  func(T) []string // a row of the table
	out    *bufio.Writer
	table  *tabwriter.Writer
	rows   int
}

func (l *listing[T]) add(row T) error {
	if l.out == nil {
		l.out = bufio.NewWriterSize(os.Stdout, 64<<10)
	}
	l.rows++
	switch {
	case l.format.json:
		before := ",\n "
		if l.rows == 1 {
			before = "[\n "
		}
		text, err := compact(row)
		if err != nil {
			return err
		}
		_, err = fmt.Fprint(l.out, before, text)
		return err
	case l.format.quiet:
		_, err := fmt.Fprintln(l.out, l.name(row))
		return err
	}
	if l.table == nil {
		l.table = tabwriter.NewWriter(l.out, 0, 8, 2, ' ', tabwriter.StripEscape)
		if l.head != nil {
			fmt.Fprintln(l.table, strings.Join(l.head, "\t"))
		}
	}
	cells := l.cells(row)
	for i := range cells {
		cells[i] = printable(cells[i])
	}
	_, err := fmt.Fprintln(l.table, strings.TrimRight(strings.Join(cells, "\t"), "\t"))
	return err
}

// close ends the listing. It is called whatever happened, so that what was found is printed.
func (l *listing[T]) close() error {
	if l.format.json {
		switch {
		case l.rows == 0:
			_, err := fmt.Println("[]")
			return err
		default:
			fmt.Fprint(l.out, "\n]\n")
		}
	}
	if l.table != nil {
		if err := l.table.Flush(); err != nil {
			return err
		}
	}
	if l.out != nil {
		return l.out.Flush()
	}
	return nil
}

// compact is v as JSON on one line, with the characters <, > and & as they are.
func compact(v any) (string, error) {
	var b strings.Builder
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return "", err
	}
	return strings.TrimSuffix(b.String(), "\n"), nil
}

// printJSON prints v as JSON on one line.
func printJSON(w io.Writer, v any) error {
	text, err := compact(v)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(w, text)
	return err
}

// list is s, and [] in JSON where s is nil.
func list[T any](s []T) []T {
	if s == nil {
		return []T{}
	}
	return s
}

// printable is text with the characters that a terminal would obey written as escapes: names come from files that
// anybody may have made.
func printable(text string) string {
	clean := true
	for _, r := range text {
		if r == utf8.RuneError || !unicode.IsPrint(r) {
			clean = false
			break
		}
	}
	if clean {
		return text
	}
	quoted := strconv.Quote(text)
	return strings.ReplaceAll(quoted[1:len(quoted)-1], `\"`, `"`)
}

// size is a number of bytes for people.
func size(n int64) string {
	if n < 0 {
		return "?"
	}
	return humanize.Bytes(uint64(n))
}

// terminal reports whether f is one.
func terminal(f *os.File) bool { return isatty.IsTerminal(f.Fd()) || isatty.IsCygwinTerminal(f.Fd()) }

// plural is "1 file" or "2 files".
func plural(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%s %ss", humanize.Comma(int64(n)), thing)
}
