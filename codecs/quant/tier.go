package quant

import "os"

// Tier is a level of what processors can do.
type Tier uint8

const (
	Generic Tier = iota // pure Go
	AVX2                // amd64 with AVX2 and F16C: Intel since Haswell (2013), AMD since Excavator (2015)
	AVX512              // and AVX-512 F, BW, DQ and VL: Intel since Skylake-X (2017), AMD since Zen 4 (2022)
)

// The casts have no kernels of AVX512, for they gain little by it: measured in C on Zen 4, in cache, float32 to float16
// nothing, float32 to bfloat16 and the two halves into each other 3 to 8 %. Only float64 to bfloat16 gains (1.7 times),
// and few models need that.

var tierNames = [...]string{Generic: "generic", AVX2: "avx2", AVX512: "avx512"}

func (t Tier) String() string { return tierNames[t] }

// active is chosen once, when the program starts.
var active = choose(os.Getenv("ISOMERFS_CPU"), Best())

// choose is the tier to use: the best there is, or a lower one that was asked for by name.
func choose(name string, best Tier) Tier {
	for t := range best {
		if t.String() == name {
			return t
		}
	}
	return best
}

// Active is the tier of kernels in use. The environment variable ISOMERFS_CPU asks for a lower one than the processor
// has; one that it lacks, or that there is not, changes nothing.
func Active() Tier { return active }

// An architecture file provides:
//
//	func Best() Tier                         // the highest tier that this processor has
//	func kernels(t Tier) map[string]vector   // the kernels that tier t uses, by the name of their encoding
