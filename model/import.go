package model

// Import is a name that Python would import when it loads the file that asks for it. Nothing here ever does.
type Import struct {
	File    string // the stored file, below the version's folder
	Module  string // as Python 3 spells it; ? where it is computed
	Name    string
	Verdict string // VerdictSafe, VerdictOpaque or VerdictDangerous
	Reason  string // of the verdict
}

// The verdicts on what an Import does when it is called with whatever its file likes.
const (
	VerdictSafe      = "safe"      // it makes a value and does nothing else
	VerdictOpaque    = "opaque"    // nothing is known of it
	VerdictDangerous = "dangerous" // it runs code, starts programs, touches files or the network, or leads to what does
)
