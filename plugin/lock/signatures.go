package lock

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/sallyport-dev/sallyport/plugin/registry"
	"github.com/sallyport-dev/sallyport/plugin/trust"
)

// What a signature of minisign is attached to a plugin as.
const (
	ArtifactTypeMinisign = "application/vnd.sallyport.signature.minisign.v1"
	MediaTypeMinisign    = "application/vnd.sallyport.minisig"
)

// What cosign attaches: its specification SIGNATURE_SPEC.md, and since version 3 bundles.
const (
	mediaTypeCosign  = "application/vnd.dev.cosign.simplesigning.v1+json"
	annotationCosign = "dev.cosignproject.cosign/signature"
	bundlePrefix     = "application/vnd.dev.sigstore.bundle"
)

// cosignSuffix is what people call the file that cosign's sign-blob writes, behind the name of what it signs.
const cosignSuffix = ".sig"

// Attachment is a signature of minisign as it is attached to a plugin.
func Attachment(minisig []byte) registry.Attachment {
	return registry.Attachment{ArtifactType: ArtifactTypeMinisign, MediaType: MediaTypeMinisign, Data: minisig}
}

// Signatures returns those among what is attached to a plugin.
func Signatures(all []registry.Attachment) (signatures []trust.Signature) {
	for i := range all {
		switch a := &all[i]; {
		case a.ArtifactType == ArtifactTypeMinisign:
			signatures = append(signatures, trust.Signature{Kind: trust.Minisign, Text: a.Data})
		case a.MediaType == mediaTypeCosign:
			signatures = append(signatures, trust.Signature{Kind: trust.CosignPayload, Text: a.Data, Encoded: a.Annotations[annotationCosign]})
		case strings.HasPrefix(a.MediaType, bundlePrefix):
			signatures = append(signatures, trust.Signature{Kind: trust.Bundle, Text: a.Data})
		}
	}
	return signatures
}

// maxSignatureFile is more than any signature that is read.
const maxSignatureFile = 64 << 10

// FileSignatures returns the signatures beside a file.
func FileSignatures(path string) (signatures []trust.Signature, err error) {
	for suffix, kind := range map[string]trust.Kind{trust.SignatureSuffix: trust.Minisign, cosignSuffix: trust.CosignBlob} {
		text, err := readSmall(path + suffix)
		switch {
		case errors.Is(err, fs.ErrNotExist):
		case err != nil:
			return nil, fmt.Errorf("reading its signature: %w", err)
		case kind == trust.Minisign:
			signatures = append(signatures, trust.Signature{Kind: kind, Text: text})
		default:
			signatures = append(signatures, trust.Signature{Kind: kind, Encoded: strings.TrimSpace(string(text))})
		}
	}
	return signatures, nil
}

func readSmall(path string) ([]byte, error) {
	path = filepath.Clean(path)
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() || info.Size() > maxSignatureFile {
		return nil, fmt.Errorf("%s is no signature", path)
	}
	return os.ReadFile(path)
}
