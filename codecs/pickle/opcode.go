package pickle

// The opcodes, by the names that Python's pickletools gives them.
const (
	// protocol 0
	opMark    = '('
	opStop    = '.'
	opPop     = '0'
	opDup     = '2'
	opFloat   = 'F' // decimal text and newline, as every argument of protocol 0
	opInt     = 'I'
	opLong    = 'L'
	opNone    = 'N'
	opPersid  = 'P'
	opReduce  = 'R'
	opString  = 'S'
	opUnicode = 'V'
	opAppend  = 'a'
	opBuild   = 'b'
	opGlobal  = 'c'
	opDict    = 'd'
	opGet     = 'g'
	opInst    = 'i'
	opList    = 'l'
	opPut     = 'p'
	opSetitem = 's'
	opTuple   = 't'

	// protocol 1
	opPopMark        = '1'
	opBinint         = 'J'
	opBinint1        = 'K'
	opBinint2        = 'M'
	opBinpersid      = 'Q'
	opBinstring      = 'T'
	opShortBinstring = 'U'
	opBinunicode     = 'X'
	opEmptyTuple     = ')'
	opEmptyList      = ']'
	opEmptyDict      = '}'
	opBinfloat       = 'G' // big-endian
	opAppends        = 'e'
	opBinget         = 'h'
	opLongBinget     = 'j'
	opObj            = 'o'
	opBinput         = 'q'
	opLongBinput     = 'r'
	opSetitems       = 'u'

	// protocol 2
	opProto    = 0x80
	opNewobj   = 0x81
	opExt1     = 0x82
	opExt2     = 0x83
	opExt4     = 0x84
	opTuple1   = 0x85
	opTuple2   = 0x86
	opTuple3   = 0x87
	opNewtrue  = 0x88
	opNewfalse = 0x89
	opLong1    = 0x8a // two's complement, little-endian
	opLong4    = 0x8b

	// protocol 3
	opBinbytes      = 'B'
	opShortBinbytes = 'C'

	// protocol 4
	opShortBinunicode = 0x8c
	opBinunicode8     = 0x8d
	opBinbytes8       = 0x8e
	opEmptySet        = 0x8f
	opAdditems        = 0x90
	opFrozenset       = 0x91
	opNewobjEx        = 0x92
	opStackGlobal     = 0x93
	opMemoize         = 0x94
	opFrame           = 0x95

	// protocol 5
	opBytearray8     = 0x96
	opNextBuffer     = 0x97
	opReadonlyBuffer = 0x98
)

// maxProtocol is the newest protocol there is.
const maxProtocol = 5
