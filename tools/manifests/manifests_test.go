// Package manifests checks the Kubernetes manifests of packaging/kubernetes against the types that a cluster has for
// them, and against what a mount takes.
package manifests

import (
	"bytes"
	"os"
	"testing"

	apps "k8s.io/api/apps/v1"
	core "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"
)

const folder = "../../packaging/kubernetes/"

// documents are those of a file, each decoded as its kind says: a field that the kind does not have is an error.
func documents(t *testing.T, name string) (all []any) {
	t.Helper()
	text, err := os.ReadFile(folder + name)
	if err != nil {
		t.Fatal(err)
	}
	for _, doc := range bytes.Split(text, []byte("\n---\n")) {
		var head struct {
			APIVersion string `json:"apiVersion"`
			Kind       string `json:"kind"`
		}
		if err := yaml.Unmarshal(doc, &head); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		kinds := map[string]any{
			"v1/Namespace": &core.Namespace{}, "v1/ConfigMap": &core.ConfigMap{}, "v1/Pod": &core.Pod{}, "apps/v1/DaemonSet": &apps.DaemonSet{},
		}
		v, ok := kinds[head.APIVersion+"/"+head.Kind]
		if !ok {
			t.Fatalf("%s has a %s/%s", name, head.APIVersion, head.Kind)
		}
		if err := yaml.UnmarshalStrict(doc, v); err != nil {
			t.Fatalf("%s: %s: %v", name, head.Kind, err)
		}
		all = append(all, v)
	}
	return all
}

// mounts checks that each volume that a pod's containers mount is one of the pod, and gives those of a container.
func mounts(t *testing.T, spec *core.PodSpec, container string) map[string]core.VolumeMount {
	t.Helper()
	volumes := map[string]bool{}
	for _, v := range spec.Volumes {
		volumes[v.Name] = true
	}
	found := map[string]core.VolumeMount{}
	for _, c := range append(spec.InitContainers, spec.Containers...) {
		for _, m := range c.VolumeMounts {
			if !volumes[m.Name] {
				t.Errorf("%s mounts a volume %q that the pod does not have", c.Name, m.Name)
			}
			if c.Name == container {
				found[m.Name] = m
			}
		}
	}
	return found
}

// TestDaemonSet: the mount reaches the host, the store is only read, and what is labelled is what is selected.
func TestDaemonSet(t *testing.T) {
	var set *apps.DaemonSet
	config := map[string]bool{}
	for _, doc := range documents(t, "daemonset.yaml") {
		switch d := doc.(type) {
		case *apps.DaemonSet:
			set = d
		case *core.ConfigMap:
			config[d.Namespace+"/"+d.Name] = true
		}
	}
	if set == nil {
		t.Fatal("there is no DaemonSet")
	}
	for key, value := range set.Spec.Selector.MatchLabels {
		if set.Spec.Template.Labels[key] != value {
			t.Errorf("pods are selected by %s=%s and not labelled so", key, value)
		}
	}
	spec := &set.Spec.Template.Spec
	if len(spec.Containers) != 1 {
		t.Fatalf("%d containers", len(spec.Containers))
	}
	c := spec.Containers[0]
	if s := c.SecurityContext; s == nil || s.Privileged == nil || !*s.Privileged {
		t.Error("the container is not privileged: its mount could not reach the host")
	}
	for _, from := range c.EnvFrom {
		if from.ConfigMapRef == nil || !config[set.Namespace+"/"+from.ConfigMapRef.Name] {
			t.Errorf("the environment comes from %v, which is not here", from)
		}
	}
	m := mounts(t, spec, c.Name)
	if p := m["mounts"].MountPropagation; p == nil || *p != core.MountPropagationBidirectional {
		t.Error("the mount does not reach the host: its folder is not mounted Bidirectional")
	}
	if !m["store"].ReadOnly {
		t.Error("the store is mounted to be written")
	}
	if n := len(c.Args); n < 2 || c.Args[n-2] != m["store"].MountPath || !bytes.HasPrefix([]byte(c.Args[n-1]), []byte(m["mounts"].MountPath+"/")) {
		t.Errorf("%v mounts no store in a volume", c.Args)
	}
}

// TestPod: the example sees mounts that are made after it has begun, in the folder in which the DaemonSet makes them.
func TestPod(t *testing.T) {
	var host string
	for _, doc := range documents(t, "daemonset.yaml") {
		if d, ok := doc.(*apps.DaemonSet); ok {
			for _, v := range d.Spec.Template.Spec.Volumes {
				if v.Name == "mounts" {
					host = v.HostPath.Path
				}
			}
		}
	}
	for _, doc := range documents(t, "pod.yaml") {
		pod := doc.(*core.Pod)
		if pod.Spec.Volumes[0].HostPath.Path != host {
			t.Errorf("the pod looks into %s, and mounts are made in %s", pod.Spec.Volumes[0].HostPath.Path, host)
		}
		for _, c := range append(pod.Spec.InitContainers, pod.Spec.Containers...) {
			m := mounts(t, &pod.Spec, c.Name)["models"]
			if m.MountPropagation == nil || *m.MountPropagation != core.MountPropagationHostToContainer {
				t.Errorf("%s does not see mounts that are made later", c.Name)
			}
		}
	}
}
