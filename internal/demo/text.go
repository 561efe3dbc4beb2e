package demo

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// say is the demo's answer to what a user said last.
func say(model, said string) string {
	const most = 200
	if len(said) > most {
		said = strings.ToValidUTF8(said[:most], "") + "…"
	}
	if said == "" {
		said = "nothing"
	}
	return fmt.Sprintf("You said: %s. I am %s, a demo without a mind of its own, and I came through the gateway.", said, model)
}

// words cuts a text into the pieces that are streamed. Joined, they are the text.
func words(text string) []string { return strings.SplitAfter(text, " ") }

// tokens counts as tokenizers roughly do: four bytes are one.
func tokens(text string) int { return (len(text) + 3) / 4 }

// content is a message's content, which is a text or a list of parts.
type content string

// UnmarshalJSON takes both forms, and the texts of the parts.
func (c *content) UnmarshalJSON(data []byte) error {
	var text string
	if json.Unmarshal(data, &text) == nil {
		*c = content(text)
		return nil
	}
	var parts []struct {
		Text    string  `json:"text"`
		Content content `json:"content"` // of an anthropic tool result
	}
	if err := json.Unmarshal(data, &parts); err != nil {
		return err
	}
	var texts []string
	for _, p := range parts {
		if t := p.Text + string(p.Content); t != "" {
			texts = append(texts, t)
		}
	}
	*c = content(strings.Join(texts, " "))
	return nil
}

// schema is the part of a JSON schema that is needed to make up arguments.
type schema struct {
	Properties map[string]struct {
		Type string `json:"type"`
	} `json:"properties"`
	Required []string `json:"required"`
}

// arguments makes up arguments that fit a tool's parameters.
func arguments(s schema) map[string]any {
	args := map[string]any{}
	slices.Sort(s.Required)
	for _, name := range s.Required {
		switch strings.ToLower(s.Properties[name].Type) { // gemini writes STRING
		case "number", "integer":
			args[name] = 7
		case "boolean":
			args[name] = true
		default:
			args[name] = "Berlin"
		}
	}
	return args
}

// argumentsText is arguments as JSON.
func argumentsText(s schema) string {
	text, _ := json.Marshal(arguments(s)) // strings, numbers and booleans
	return string(text)
}
