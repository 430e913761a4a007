package pickle

func python3(module, name string) (string, string) { return module, name }
