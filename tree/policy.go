package tree

import (
	"errors"
	"fmt"

	"github.com/isomerfs/isomerfs/fault"
	"github.com/isomerfs/isomerfs/model"
)

// Policy says which models are shown whose files are pickles: programs that Python would run to load them. Nothing of
// a pickle is run here, whatever the policy. It is for those who load a stored file with Python because its views look
// sound. The stored files stay readable in source/.
type Policy uint8

const (
	RefuseDangerous Policy = iota // those that import nothing dangerous
	RefuseOpaque                  // those that import nothing but what is known to be safe
	AllowAll                      // all
)

// Policies are the words for them, in the order of the constants.
var Policies = []string{"refuse-dangerous", "refuse-opaque", "allow"}

func (p Policy) String() string { return Policies[p] }

// errRefused is the cause of a fault that a policy made.
var errRefused = errors.New("refused by policy")

// check is the fault of a model that the policy refuses.
func (p Policy) check(m *model.Model) error {
	var worst []model.Import
	for _, i := range m.Imports {
		if i.Verdict == model.VerdictDangerous && p != AllowAll || i.Verdict == model.VerdictOpaque && p == RefuseOpaque {
			worst = append(worst, i)
		}
	}
	if len(worst) == 0 {
		return nil
	}
	first := worst[0]
	for _, i := range worst {
		if i.Verdict == model.VerdictDangerous {
			first = i
			break
		}
	}
	more := ""
	if n := len(worst) - 1; n > 0 {
		more = fmt.Sprintf(", and %d more", n)
	}
	err := fault.New(fault.Unsafe, "Python would import %s.%s to load it (%s: %s)%s, which pickle=%s refuses", first.Module, first.Name, first.Verdict, first.Reason, more, p)
	err.Err = errRefused
	return fault.In(first.File, err.Remedied("isomerfs verify lists all that it would import; isomerfs runs none of it, so pickle=allow is safe for reading its views"))
}
