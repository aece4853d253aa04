package assemble

// One Go module whose programs belong to a node.
type module struct {
	// Folder below the sources.
	folder string
	// Packages to build: "." or "tool", all that its go.mod names.
	packages string
	tags     string
	cgo      bool
	// The linker sets this variable to the version of that module.
	version, versionOf string
}

var modules = []module{
	{folder: "kubernetes", packages: ".", version: "k8s.io/component-base/version.gitVersion", versionOf: "k8s.io/kubernetes"},
	{folder: "containerd", packages: "tool", version: "github.com/containerd/containerd/v2/version.Version", versionOf: "github.com/containerd/containerd/v2"},
	{folder: "cni", packages: "tool"},
	{folder: "registry", packages: "."},
	// With seccomp, as pods that are to meet the restricted Pod Security
	// Standard ask for a profile.
	{folder: "runc", packages: "tool", tags: "seccomp", cgo: true},
}

// The folders whose content is built into a node, besides those of modules.
var others = []string{"pause", "azurite", "internal/assemble", "internal/oci"}
