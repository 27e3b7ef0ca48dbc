-- One row per child of an authority, with characteristics reconciled over all records (definitions, section 3).

with
children as (

    select * from {{ ref('int_children') }}

),

final as (

    select * from children

)

select * from final
