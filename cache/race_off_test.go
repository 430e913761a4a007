//go:build !race

package cache

// thinned is how many of the crashes and failures are tried: all.
const thinned = 1
