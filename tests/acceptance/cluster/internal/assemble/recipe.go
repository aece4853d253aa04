package assemble

// One Go module whose programs belong to a node.
type module struct {
	// Folder below the sources.
	folder string
	// Packages to build: "." or "tool", all that its go.mod names.
	packages string
	tags     string
	cgo      bool
	// Variables that the linker sets, from the version of the module versionOf.
	// In their values FULL is "v1.36.3", MAJOR "1", MINOR "36".
	variables []string
	versionOf string
}

var modules = []module{
	{folder: "kubernetes", packages: ".", versionOf: "k8s.io/kubernetes", variables: []string{
		"k8s.io/component-base/version.gitVersion=FULL",
		"k8s.io/component-base/version.gitMajor=MAJOR",
		"k8s.io/component-base/version.gitMinor=MINOR",
	}},
	{folder: "containerd", packages: "tool", versionOf: "github.com/containerd/containerd/v2", variables: []string{
		"github.com/containerd/containerd/v2/version.Version=FULL",
	}},
	{folder: "cni", packages: "tool"},
	{folder: "registry", packages: "."},
	// With seccomp, as pods that are to meet the restricted Pod Security
	// Standard ask for a profile.
	{folder: "runc", packages: "tool", tags: "seccomp", cgo: true},
}

// The folders whose content is built into a node, besides those of modules.
var others = []string{"pause", "azurite", "internal/assemble", "internal/oci"}
