package main

import (
	"github.com/moby/sys/mountinfo"

	"github.com/isomerfs/isomerfs/fault"
)

// unmounted refuses a mount point at which any file system is mounted: an empty folder is what people expect to hide.
func unmounted(point string) error {
	found, err := mountinfo.GetMounts(mountinfo.SingleEntryFilter(point))
	if err != nil || len(found) == 0 {
		return err
	}
	top := found[len(found)-1]
	return fault.In(point, fault.New(fault.Denied, "is a mount point already, of %s (%s)", top.Source, top.FSType).Remedied("mount elsewhere, or umount %s first", point))
}

// deviceOf is the device number of the topmost mount at a point.
func deviceOf(point string) (string, error) {
	all, err := mounts()
	if err != nil {
		return "", err
	}
	m, ok := mountAt(all, point)
	if !ok {
		return "", fault.In(point, fault.New(fault.Absent, "the mount table does not show the mount"))
	}
	return m.device, nil
}
