// Package tree says what a path means: models, versions, aliases, documents, the source of each view, and why a view
// is absent. fs shows it; ls, show, why and convert ask it.
package tree
