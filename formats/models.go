package formats

import "time"

// Model is one entry of a model list: an alias or a chain, as clients see it.
type Model struct {
	ID       string
	Provider string // who serves it; openai's owned_by
	Context  int    // largest prompt in tokens; 0: unknown, and left out
	Created  int64  // Unix seconds
}

// AppendModels appends the body of a model list as the official clients of the dialect parse it. The list is whole:
// it has no further pages.
func AppendModels(dst []byte, f Format, models []Model) []byte {
	switch f {
	case Anthropic:
		return appendJSON(dst, anthropicListOf(models))
	case Gemini:
		list := geminiList{Models: make([]geminiModel, len(models))}
		for i := range models {
			list.Models[i] = geminiModelOf(&models[i])
		}
		return appendJSON(dst, list)
	}
	list := openAIList{Object: "list", Data: make([]openAIModel, len(models))}
	for i := range models {
		list.Data[i] = openAIModelOf(&models[i])
	}
	return appendJSON(dst, list)
}

// AppendModel appends the body that describes one model.
func AppendModel(dst []byte, f Format, m *Model) []byte {
	switch f {
	case Anthropic:
		return appendJSON(dst, anthropicModelOf(m))
	case Gemini:
		return appendJSON(dst, geminiModelOf(m))
	}
	return appendJSON(dst, openAIModelOf(m))
}

type openAIList struct {
	Object string        `json:"object"`
	Data   []openAIModel `json:"data"`
}

type openAIModel struct {
	ID      string `json:"id"`
	Object  string `json:"object"`
	Created int64  `json:"created"`
	OwnedBy string `json:"owned_by"`
}

func openAIModelOf(m *Model) openAIModel {
	return openAIModel{ID: m.ID, Object: "model", Created: m.Created, OwnedBy: m.Provider}
}

type anthropicList struct {
	Data    []anthropicModel `json:"data"`
	HasMore bool             `json:"has_more"`
	FirstID *string          `json:"first_id"` // null in an empty list
	LastID  *string          `json:"last_id"`
}

type anthropicModel struct {
	Type        string    `json:"type"`
	ID          string    `json:"id"`
	DisplayName string    `json:"display_name"`
	CreatedAt   time.Time `json:"created_at"`
}

func anthropicListOf(models []Model) anthropicList {
	list := anthropicList{Data: make([]anthropicModel, len(models))}
	for i := range models {
		list.Data[i] = anthropicModelOf(&models[i])
	}
	if n := len(models); n > 0 {
		list.FirstID, list.LastID = &models[0].ID, &models[n-1].ID
	}
	return list
}

func anthropicModelOf(m *Model) anthropicModel {
	return anthropicModel{Type: "model", ID: m.ID, DisplayName: m.ID, CreatedAt: time.Unix(m.Created, 0).UTC()}
}

type geminiList struct {
	Models []geminiModel `json:"models"`
}

type geminiModel struct {
	Name             string   `json:"name"`
	BaseModelID      string   `json:"baseModelId"`
	Version          string   `json:"version"`
	DisplayName      string   `json:"displayName"`
	Description      string   `json:"description"`
	InputTokenLimit  int      `json:"inputTokenLimit,omitempty"`
	SupportedMethods []string `json:"supportedGenerationMethods"`
}

func geminiModelOf(m *Model) geminiModel {
	methods := make([]string, len(geminiVerbs))
	for i := range geminiVerbs {
		methods[i] = geminiVerbs[i].name
	}
	return geminiModel{
		Name: "models/" + m.ID, BaseModelID: m.ID, Version: "1", DisplayName: m.ID, Description: "Served by " + m.Provider,
		InputTokenLimit: m.Context, SupportedMethods: methods,
	}
}
