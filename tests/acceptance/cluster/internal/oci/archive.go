// Package oci writes the smallest of container images: one program, nothing else.
package oci

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"runtime"
)

type descriptor struct {
	MediaType   string            `json:"mediaType"`
	Digest      string            `json:"digest"`
	Size        int               `json:"size"`
	Annotations map[string]string `json:"annotations,omitempty"`
}

// Blob is one part of an image, by its digest ("sha256:...").
type Blob struct {
	Digest, MediaType string
	Content           []byte
}

// Image holds an image's manifest and what it refers to.
type Image struct {
	Manifest Blob
	Config   Blob
	Layer    Blob
}

const (
	manifestType = "application/vnd.oci.image.manifest.v1+json"
	configType   = "application/vnd.oci.image.config.v1+json"
	layerType    = "application/vnd.oci.image.layer.v1.tar"
)

// Scratch makes an image of one static program, at /NAME, that runs as user
// 65534 with no shell, libraries or files beside it.
func Scratch(name string, program []byte) (Image, error) {
	var layer bytes.Buffer
	archive := tar.NewWriter(&layer)
	if err := add(archive, name, 0o755, program); err != nil {
		return Image{}, err
	}
	if err := archive.Close(); err != nil {
		return Image{}, err
	}
	files := blob(layerType, layer.Bytes())
	config, err := json.Marshal(map[string]any{
		"architecture": runtime.GOARCH,
		"os":           "linux",
		"config":       map[string]any{"User": "65534:65534", "Entrypoint": []string{"/" + name}},
		"rootfs":       map[string]any{"type": "layers", "diff_ids": []string{files.Digest}},
	})
	if err != nil {
		return Image{}, err
	}
	settings := blob(configType, config)
	manifest, err := json.Marshal(map[string]any{
		"schemaVersion": 2,
		"mediaType":     manifestType,
		"config":        settings.describe(nil),
		"layers":        []descriptor{files.describe(nil)},
	})
	if err != nil {
		return Image{}, err
	}
	return Image{Manifest: blob(manifestType, manifest), Config: settings, Layer: files}, nil
}

// WriteArchive writes the image as an OCI archive that containerd imports under
// the full name of reference, such as "localhost/pause:1".
func (i Image) WriteArchive(to io.Writer, reference string) error {
	index, err := json.Marshal(map[string]any{
		"schemaVersion": 2,
		"manifests":     []descriptor{i.Manifest.describe(map[string]string{"io.containerd.image.name": reference})},
	})
	if err != nil {
		return err
	}
	archive := tar.NewWriter(to)
	files := []struct {
		name    string
		content []byte
	}{
		{"oci-layout", []byte(`{"imageLayoutVersion":"1.0.0"}`)},
		{"index.json", index},
	}
	for _, part := range []Blob{i.Manifest, i.Config, i.Layer} {
		files = append(files, struct {
			name    string
			content []byte
		}{"blobs/sha256/" + part.Digest[len("sha256:"):], part.Content})
	}
	for _, file := range files {
		if err := add(archive, file.name, 0o644, file.content); err != nil {
			return err
		}
	}
	return archive.Close()
}

func add(archive *tar.Writer, name string, mode int64, content []byte) error {
	header := &tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: mode, Size: int64(len(content)), Format: tar.FormatUSTAR}
	if err := archive.WriteHeader(header); err != nil {
		return fmt.Errorf("%s in an image: %w", name, err)
	}
	_, err := archive.Write(content)
	return err
}

func blob(mediaType string, content []byte) Blob {
	return Blob{Digest: fmt.Sprintf("sha256:%x", sha256.Sum256(content)), MediaType: mediaType, Content: content}
}

func (b Blob) describe(annotations map[string]string) descriptor {
	return descriptor{MediaType: b.MediaType, Digest: b.Digest, Size: len(b.Content), Annotations: annotations}
}
