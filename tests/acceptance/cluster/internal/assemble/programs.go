package assemble

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/openazureml/terraform-provider-azureml/tests/acceptance/cluster/internal/node"
	"github.com/openazureml/terraform-provider-azureml/tests/acceptance/cluster/internal/oci"
)

func (m module) build(folder, into string) error {
	flags, err := m.linkerFlags(folder)
	if err != nil {
		return err
	}
	cgo := "CGO_ENABLED=0"
	if m.cgo {
		cgo = "CGO_ENABLED=1"
	}
	// With a slash at its end, -o names a folder.
	return run(folder, []string{cgo, "GOWORK=off"}, "go", "build", "-mod=readonly", "-trimpath", "-tags", m.tags, "-ldflags", flags, "-o", into+"/", m.packages)
}

func (m module) linkerFlags(folder string) (string, error) {
	flags := "-s -w"
	if m.versionOf == "" {
		return flags, nil
	}
	listed := exec.Command("go", "list", "-m", "-f", "{{.Version}}", m.versionOf)
	listed.Dir = folder
	answer, err := listed.Output()
	if err != nil {
		return "", fmt.Errorf("the version of %s: %w", m.versionOf, err)
	}
	version := strings.TrimSpace(string(answer))
	parts := strings.Split(strings.TrimPrefix(version, "v"), ".")
	if len(parts) < 3 {
		return "", fmt.Errorf("the version of %s is %q, without three numbers", m.versionOf, version)
	}
	values := strings.NewReplacer("FULL", version, "MAJOR", parts[0], "MINOR", parts[1])
	for _, variable := range m.variables {
		flags += " -X " + values.Replace(variable)
	}
	return flags, nil
}

func pause(sources, into string) error {
	program := filepath.Join(into, "pause")
	if err := run(sources, []string{"CGO_ENABLED=0", "GOWORK=off"}, "go", "build", "-mod=readonly", "-trimpath", "-ldflags", "-s -w", "-o", program, "./pause"); err != nil {
		return err
	}
	content, err := os.ReadFile(program)
	if err != nil {
		return err
	}
	image, err := oci.Scratch("pause", content)
	if err != nil {
		return err
	}
	archive, err := os.Create(filepath.Join(into, "pause.tar"))
	if err != nil {
		return err
	}
	if err := image.WriteArchive(archive, node.PauseImage); err != nil {
		archive.Close()
		return err
	}
	return archive.Close()
}

// Installs exactly what azurite/package-lock.json names; nothing of it is run.
func azurite(sources, into string) error {
	if err := os.MkdirAll(into, 0o755); err != nil {
		return err
	}
	for _, name := range []string{"package.json", "package-lock.json"} {
		content, err := os.ReadFile(filepath.Join(sources, "azurite", name))
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(into, name), content, 0o644); err != nil {
			return err
		}
	}
	return run(into, nil, "npm", "ci", "--ignore-scripts", "--omit=dev", "--no-audit", "--no-fund", "--loglevel=error")
}

// What the program says goes to this one's standard error: standard output is
// for the answer.
func run(folder string, env []string, program string, args ...string) error {
	command := exec.Command(program, args...)
	command.Dir = folder
	command.Env = append(os.Environ(), env...)
	command.Stdout, command.Stderr = os.Stderr, os.Stderr
	if err := command.Run(); err != nil {
		return fmt.Errorf("%s %s: %w", program, args[0], err)
	}
	return nil
}
