//go:build race

package cache

// thinned is how many of the crashes and failures are tried: every such. The race detector makes each ten times slower.
const thinned = 9
