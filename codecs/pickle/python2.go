package pickle

import "sync"

// Up to protocol 2, pickles spell globals as Python 2 did, and Python 3 translates them when it reads and when it
// writes. These are the tables of Lib/_compat_pickle.py. A line of the one-way tables is of no use for writing:
// another stands for the same name there.

// modules are the modules that Python 3 renamed, by their names in Python 2.
var modules = map[string]string{
	"BaseHTTPServer":     "http.server",
	"ConfigParser":       "configparser",
	"Cookie":             "http.cookies",
	"Dialog":             "tkinter.dialog",
	"HTMLParser":         "html.parser",
	"Queue":              "queue",
	"ScrolledText":       "tkinter.scrolledtext",
	"SimpleXMLRPCServer": "xmlrpc.server",
	"SocketServer":       "socketserver",
	"Tix":                "tkinter.tix",
	"Tkconstants":        "tkinter.constants",
	"Tkdnd":              "tkinter.dnd",
	"Tkinter":            "tkinter",
	"__builtin__":        "builtins",
	"_abcoll":            "collections.abc",
	"_winreg":            "winreg",
	"anydbm":             "dbm",
	"commands":           "subprocess",
	"cookielib":          "http.cookiejar",
	"copy_reg":           "copyreg",
	"dbhash":             "dbm.bsd",
	"dbm":                "dbm.ndbm",
	"dumbdbm":            "dbm.dumb",
	"dummy_thread":       "_dummy_thread",
	"gdbm":               "dbm.gnu",
	"htmlentitydefs":     "html.entities",
	"httplib":            "http.client",
	"markupbase":         "_markupbase",
	"repr":               "reprlib",
	"robotparser":        "urllib.robotparser",
	"test.test_support":  "test.support",
	"thread":             "_thread",
	"tkColorChooser":     "tkinter.colorchooser",
	"tkCommonDialog":     "tkinter.commondialog",
	"tkFileDialog":       "tkinter.filedialog",
	"tkFont":             "tkinter.font",
	"tkMessageBox":       "tkinter.messagebox",
	"tkSimpleDialog":     "tkinter.simpledialog",
	"ttk":                "tkinter.ttk",
	"urllib2":            "urllib.request",
	"urlparse":           "urllib.parse",
	"xmlrpclib":          "xmlrpc.client",
}

// modulesOneWay are more of them.
var modulesOneWay = map[string]string{
	"CGIHTTPServer":    "http.server",
	"DocXMLRPCServer":  "xmlrpc.server",
	"FileDialog":       "tkinter.filedialog",
	"SimpleDialog":     "tkinter.simpledialog",
	"SimpleHTTPServer": "http.server",
	"StringIO":         "io",
	"UserDict":         "collections",
	"UserList":         "collections",
	"UserString":       "collections",
	"_elementtree":     "xml.etree.ElementTree",
	"cPickle":          "pickle",
	"cStringIO":        "io",
	"whichdb":          "dbm",
}

// spelling is a module and a name in it.
type spelling struct{ module, name string }

// names are what Python 3 moved to another module or renamed, by its place in Python 2. exceptions follow.
var names = map[spelling]spelling{
	{"UserDict", "IterableUserDict"}:           {"collections", "UserDict"},
	{"UserList", "UserList"}:                   {"collections", "UserList"},
	{"UserString", "UserString"}:               {"collections", "UserString"},
	{"__builtin__", "intern"}:                  {"sys", "intern"},
	{"__builtin__", "long"}:                    {"builtins", "int"},
	{"__builtin__", "reduce"}:                  {"functools", "reduce"},
	{"__builtin__", "unichr"}:                  {"builtins", "chr"},
	{"__builtin__", "unicode"}:                 {"builtins", "str"},
	{"__builtin__", "xrange"}:                  {"builtins", "range"},
	{"_multiprocessing", "Connection"}:         {"multiprocessing.connection", "Connection"},
	{"_socket", "fromfd"}:                      {"socket", "fromfd"},
	{"itertools", "ifilter"}:                   {"builtins", "filter"},
	{"itertools", "ifilterfalse"}:              {"itertools", "filterfalse"},
	{"itertools", "imap"}:                      {"builtins", "map"},
	{"itertools", "izip"}:                      {"builtins", "zip"},
	{"itertools", "izip_longest"}:              {"itertools", "zip_longest"},
	{"multiprocessing", "AuthenticationError"}: {"multiprocessing.context", "AuthenticationError"},
	{"multiprocessing", "BufferTooShort"}:      {"multiprocessing.context", "BufferTooShort"},
	{"multiprocessing", "ProcessError"}:        {"multiprocessing.context", "ProcessError"},
	{"multiprocessing", "TimeoutError"}:        {"multiprocessing.context", "TimeoutError"},
	{"multiprocessing.forking", "Popen"}:       {"multiprocessing.popen_fork", "Popen"},
	{"multiprocessing.process", "Process"}:     {"multiprocessing.context", "Process"},
	{"urllib", "ContentTooShortError"}:         {"urllib.error", "ContentTooShortError"},
	{"urllib", "getproxies"}:                   {"urllib.request", "getproxies"},
	{"urllib", "pathname2url"}:                 {"urllib.request", "pathname2url"},
	{"urllib", "quote"}:                        {"urllib.parse", "quote"},
	{"urllib", "quote_plus"}:                   {"urllib.parse", "quote_plus"},
	{"urllib", "unquote"}:                      {"urllib.parse", "unquote"},
	{"urllib", "unquote_plus"}:                 {"urllib.parse", "unquote_plus"},
	{"urllib", "url2pathname"}:                 {"urllib.request", "url2pathname"},
	{"urllib", "urlcleanup"}:                   {"urllib.request", "urlcleanup"},
	{"urllib", "urlencode"}:                    {"urllib.parse", "urlencode"},
	{"urllib", "urlopen"}:                      {"urllib.request", "urlopen"},
	{"urllib", "urlretrieve"}:                  {"urllib.request", "urlretrieve"},
	{"urllib2", "HTTPError"}:                   {"urllib.error", "HTTPError"},
	{"urllib2", "URLError"}:                    {"urllib.error", "URLError"},
	{"whichdb", "whichdb"}:                     {"dbm", "whichdb"},
}

// namesOneWay are more of them.
var namesOneWay = map[spelling]spelling{
	{"UserDict", "UserDict"}:        {"collections", "UserDict"},
	{"__builtin__", "basestring"}:   {"builtins", "str"},
	{"exceptions", "StandardError"}: {"builtins", "Exception"},
	{"socket", "_socketobject"}:     {"socket", "SocketType"},
}

// exceptions are the names of Python 2's module exceptions, which are builtins now.
var exceptions = [...]string{
	"ArithmeticError", "AssertionError", "AttributeError", "BaseException", "BufferError", "BytesWarning",
	"DeprecationWarning", "EOFError", "EnvironmentError", "Exception", "FloatingPointError", "FutureWarning",
	"GeneratorExit", "IOError", "ImportError", "ImportWarning", "IndentationError", "IndexError", "KeyError",
	"KeyboardInterrupt", "LookupError", "MemoryError", "NameError", "NotImplementedError", "OSError", "OverflowError",
	"PendingDeprecationWarning", "ReferenceError", "RuntimeError", "RuntimeWarning", "StopIteration", "SyntaxError",
	"SyntaxWarning", "SystemError", "SystemExit", "TabError", "TypeError", "UnboundLocalError", "UnicodeDecodeError",
	"UnicodeEncodeError", "UnicodeError", "UnicodeTranslateError", "UnicodeWarning", "UserWarning", "ValueError",
	"Warning", "ZeroDivisionError",
}

// spellings are the tables above, in both directions.
type spellings struct {
	names, back map[spelling]spelling
	modulesBack map[string]string
}

var translations = sync.OnceValue(func() spellings {
	s := spellings{names: map[spelling]spelling{}, back: map[spelling]spelling{}, modulesBack: map[string]string{}}
	for two, three := range modules {
		s.modulesBack[three] = two
	}
	for two, three := range names {
		s.names[two], s.back[three] = three, two
	}
	for _, name := range exceptions {
		two, three := spelling{"exceptions", name}, spelling{"builtins", name}
		s.names[two], s.back[three] = three, two
	}
	for two, three := range namesOneWay {
		s.names[two] = three
	}
	return s
})

// python3 is what Python 3 takes a global of a pickle of protocol 2 or older for.
func python3(module, name string) (string, string) {
	if s, ok := translations().names[spelling{module, name}]; ok {
		return s.module, s.name
	}
	for _, table := range []map[string]string{modules, modulesOneWay} {
		if m, ok := table[module]; ok {
			return m, name
		}
	}
	return module, name
}

// python2 is how a global is spelled in a pickle of protocol 2. ok is false where no spelling leads back to it: its
// module bears the name of another that Python 2 had.
func python2(module, name string) (m, n string, ok bool) {
	t := translations()
	m, n = module, name
	if s, found := t.back[spelling{module, name}]; found {
		m, n = s.module, s.name
	} else if two, found := t.modulesBack[module]; found {
		m = two
	}
	for _, s := range []spelling{{m, n}, {module, name}} {
		if m3, n3 := python3(s.module, s.name); m3 == module && n3 == name {
			return s.module, s.name, true
		}
	}
	return "", "", false
}
