package hf

import (
	"context"
	"strings"
)

// Card is what the front matter of a model card, README.md, says: YAML between two lines of three dashes. It is nil
// where there is none, and where it is not understood: a card is for people, and nothing fails for it.
func (f *Folder) Card(ctx context.Context) (*Object, error) {
	text, ok, err := f.Text(ctx, "README.md")
	if !ok || err != nil {
		return nil, err
	}
	lines := strings.Split(strings.ReplaceAll(strings.ReplaceAll(text, "\r\n", "\n"), "\r", "\n"), "\n")
	if lines[0] != "---" {
		return nil, nil
	}
	matter := lines[1:]
	for i, line := range matter {
		if line == "---" {
			matter = matter[:i]
			break
		}
	}
	yaml := strings.Join(matter, "\n") + "\n"
	yaml = strings.ReplaceAll(yaml, "- no\n", "- \"no\"\n") // Norwegian
	v, err := yamlText(strings.ReplaceAll(yaml, "\t", "  "))
	if err != nil {
		return nil, nil
	}
	o, _ := v.(*Object)
	return o, nil
}
