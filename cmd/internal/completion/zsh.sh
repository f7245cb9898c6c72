#compdef lcbq
# Completes lcbq in zsh. Load it with: source <(lcbq completion zsh)
_lcbq() {
	local line
	local -a found
	local -i files=0
	while IFS= read -r line; do
		if [[ $line == :files ]]; then
			files=1
			continue
		fi
		if [[ $line == *$'\t'* ]]; then
			found+=("${${line%%$'\t'*}//:/\\:}:${line#*$'\t'}")
		else
			found+=("${line//:/\\:}")
		fi
	done < <("${words[1]}" completion answer -- "${(@)words[2,CURRENT]}" 2>/dev/null)
	((${#found})) && _describe lcbq found
	((files)) && _files
	return 0
}
if (($+functions[compdef])); then
	compdef _lcbq lcbq
fi
