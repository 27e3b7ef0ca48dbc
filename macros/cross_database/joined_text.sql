{#- The texts of a group in one, in the order of other columns, with a separator between them; nulls are passed over.
    Spark sorts structs of the columns and the text. -#}
{%- macro joined_text(text, order_by, separator) -%}
    {{ return(adapter.dispatch('joined_text', 'csc_evaluation')(text, order_by, separator)) }}
{%- endmacro -%}

{%- macro default__joined_text(text, order_by, separator) -%}
    string_agg({{ text }}, '{{ separator }}' order by {{ order_by }})
{%- endmacro -%}

{%- macro spark__joined_text(text, order_by, separator) -%}
    array_join(
        transform(sort_array(collect_list(struct({{ order_by }}, {{ text }} as joined))), item -> item.joined),
        '{{ separator }}'
    )
{%- endmacro -%}
