package fs

func serveDaemon() {}
