module github.com/isomerfs/isomerfs

go 1.26
