//go:build !amd64

package quant

// Best is the highest tier that this processor has.
func Best() Tier { return Generic }

func kernels(Tier) map[string]vector { return nil }
