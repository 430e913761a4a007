package quant

import "os"

// tier is a level of what processors can do.
type tier uint8

const (
	generic tier = iota // pure Go
	avx2                // amd64 with AVX2 and F16C: Intel since Haswell (2013), AMD since Excavator (2015)
)

// There is no tier of AVX-512, for casts gain little by it: measured in C on Zen 4, in cache, float32 to float16
// nothing, float32 to bfloat16 and the two halves into each other 3 to 8 %. Only float64 to bfloat16 gains (1.7 times),
// and few models need that.

var tierNames = [...]string{generic: "generic", avx2: "avx2"}

func (t tier) String() string { return tierNames[t] }

// active is chosen once, when the program starts.
var active = choose(os.Getenv("ISOMERFS_CPU"), best())

// choose is the tier to use: the best there is, or a lower one that was asked for by name.
func choose(name string, best tier) tier {
	for t := range best {
		if t.String() == name {
			return t
		}
	}
	return best
}

// CPU is the tier of kernels in use: "generic" (pure Go) or "avx2". The environment variable ISOMERFS_CPU asks for a
// lower one than the processor has; one that it lacks, or that there is not, changes nothing.
func CPU() string { return active.String() }

// An architecture file provides:
//
//	func best() tier                         // the highest tier that this processor has
//	func kernels(t tier) map[string]vector   // the kernels that tier t uses, by the name of their encoding
