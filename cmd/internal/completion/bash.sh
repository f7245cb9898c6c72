# Completes lcbq in bash. Load it with: source <(lcbq completion bash)
_lcbq() {
	local line cur words
	# bash divides words at = and : too; lcbq divides at spaces alone.
	read -ra words <<<"${COMP_LINE:0:COMP_POINT}"
	[[ ${COMP_LINE:COMP_POINT-1:1} == ' ' ]] && words+=('')
	cur=${words[${#words[@]} - 1]}
	COMPREPLY=()
	while IFS= read -r line; do
		if [[ $line == :files ]]; then
			compopt -o filenames 2>/dev/null
			while IFS= read -r line; do COMPREPLY+=("$line"); done < <(compgen -f -- "$cur")
			continue
		fi
		line=${line%%$'\t'*}
		# What stands before the last = is in an earlier word of bash's.
		[[ $cur == *=* && $COMP_WORDBREAKS == *=* ]] && line=${line#"${cur%"${cur##*=}"}"}
		COMPREPLY+=("$line")
	done < <("${words[0]}" completion answer -- "${words[@]:1}" 2>/dev/null)
}
complete -F _lcbq lcbq
